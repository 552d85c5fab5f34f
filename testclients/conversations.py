"""The conversation somebody writes in: found, recognised in pushes, written to."""

import asyncio
import re
import uuid
from collections.abc import Sequence
from typing import Final, NamedTuple

from protocol.model import CONVERSATION_ID_PATTERN, GroupSummary
from protocol.pushes import GroupChat, OneToOneChat, ServerFrame, Success
from testclients.client import ChatClient
from testclients.errors import ClientError, RequestFailed

ATTEMPTS: Final = 10
RETRY_SECONDS: Final = 1.0
MAX_RETRY_SECONDS: Final = 30.0


class Direct(NamedTuple):
    peer: str


class Group(NamedTuple):
    group_id: str
    name: str


Conversation = Direct | Group


class Ambiguous(ClientError):
    """Several groups have the name."""


class UnknownGroup(ClientError):
    """No group has the name."""


def find_group(groups: Sequence[GroupSummary], wanted: str) -> Group:
    """The group with this id, else with this name; else what may be an id is left to the server.

    Raises:
        Ambiguous
        UnknownGroup
    """
    for group in groups:
        if group.group_id == wanted:
            return Group(group.group_id, group.name)
    named = [group for group in groups if group.name == wanted]
    if len(named) > 1:
        ids = ", ".join(group.group_id for group in named)
        raise Ambiguous(f"{len(named)} groups are called {wanted!r}: say which by its id: {ids}")
    if named:
        return Group(named[0].group_id, named[0].name)
    if re.match(CONVERSATION_ID_PATTERN, wanted) is None:
        raise UnknownGroup(f"you are in no group called {wanted!r}")
    return Group(wanted, wanted)


def is_message_of(frame: ServerFrame, conversation: Conversation | None) -> bool:
    """Whether a push is a message, and of this conversation if one is given."""
    match frame, conversation:
        case ((OneToOneChat() | GroupChat()), None):
            return True
        case OneToOneChat(), Direct(peer):
            return peer in (frame.from_, frame.to)
        case GroupChat(), Group(group_id):
            return frame.group_id == group_id
        case _:
            return False


async def post(client: ChatClient, conversation: Conversation, content: str) -> Success:
    """Send a message and give its ack; what is refused for a time is sent again, as the same one.

    Raises:
        RequestFailed: for good, or still after ten attempts.
        ClientError: whatever else `ChatClient.request` raises.
    """
    key = uuid.uuid4().hex
    attempt = 1
    while True:
        try:
            if isinstance(conversation, Direct):
                return await client.send_direct(conversation.peer, content, key)
            return await client.send_group(conversation.group_id, content, key)
        except RequestFailed as error:
            if not error.temporary or attempt >= ATTEMPTS:
                raise
            wait_ms = error.retry_after_ms
        attempt += 1
        seconds = RETRY_SECONDS if wait_ms is None else min(wait_ms / 1000, MAX_RETRY_SECONDS)
        await asyncio.sleep(seconds)
