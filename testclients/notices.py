"""What the client library itself tells an application, among the frames of the server."""

from typing import NamedTuple

from protocol.pushes import ServerFrame


class LogRenewed(NamedTuple):
    """The server was restored from a backup: nothing that was known of it holds any more.

    The application drops what it shows and keeps; what comes next is as after a first connect.
    """

    log_id: str


class Rewound(NamedTuple):
    """The server's log of the conversation ends before what was known of it.

    Its events come again from the first one on, whatever came before: drop its state.
    """

    conversation: str


class Gone(NamedTuple):
    """The user is not in the conversation any more; it happened while there was no connection."""

    conversation: str


Notice = LogRenewed | Rewound | Gone
Happening = ServerFrame | Notice
