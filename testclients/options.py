"""The command line of the terminal client, checked before anything is opened."""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import urlsplit

PASSWORD_VARIABLE: Final = "CHATD_PASSWORD"
CHAT_PORT: Final = 4000

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NO_CONNECTION: Final = 3
EXIT_TOO_FEW: Final = 4

_EPILOG: Final = f"""\
Without --send, --wait and --until it is interactive on a terminal. Otherwise every line of standard
input is sent to the chosen conversation, one after the other; blank lines are skipped. What is
refused for a time is sent again. A run that receives, or reads standard input, prints everything
that comes until it has closed the connection, for that counts as delivered.

exit codes: {EXIT_OK} ok; {EXIT_REFUSED} refused by the server; {EXIT_USAGE} bad usage;
{EXIT_NO_CONNECTION} cannot connect, or the connection was lost;
{EXIT_TOO_FEW} fewer than COUNT messages within --wait seconds
"""


class Mode(Enum):
    INTERACTIVE = auto()
    LINES = auto()
    """Send every line of standard input."""
    FLAGS = auto()
    """Do what --send, --wait and --until say; standard input is not read."""


@dataclass(frozen=True, slots=True)
class Options:
    server: str
    """Base URL of the HTTP API."""
    chat_url: str
    user: str | None
    """None only when the mode is interactive."""
    password: str | None
    """None only when there is a terminal to ask on."""
    register: bool
    to: str | None
    group: str | None
    """Id or name; never together with `to`."""
    send: str | None
    wait_seconds: float | None
    until: int | None
    """How many messages to wait for."""
    json: bool
    mode: Mode


def parse(argv: Sequence[str], environment: Mapping[str, str], is_terminal: bool) -> Options:
    """The options of a command line. `is_terminal` says whether standard input is one.

    Raises:
        SystemExit: 2 after printing what is wrong; 0 after --help.
    """
    parser = _parser()
    given = parser.parse_args(argv)
    scripted = given.send is not None or given.wait is not None or given.until is not None
    mode = Mode.FLAGS if scripted else Mode.INTERACTIVE if is_terminal else Mode.LINES
    password = given.password if given.password is not None else environment.get(PASSWORD_VARIABLE)
    if given.user is None and mode is not Mode.INTERACTIVE:
        parser.error("--user is needed")
    if password is None and not is_terminal:
        parser.error(
            f"--password or {PASSWORD_VARIABLE} is needed when there is no terminal to ask on"
        )
    if given.to is None and given.group is None:
        if given.send is not None:
            parser.error("--send needs --to or --group")
        if mode is Mode.LINES:
            parser.error(
                "--to or --group says where standard input goes; --wait or --until receive instead"
            )
    return Options(
        server=given.server,
        chat_url=given.chat_url or _chat_url(given.server),
        user=given.user,
        password=password,
        register=given.register,
        to=given.to,
        group=given.group,
        send=given.send,
        wait_seconds=given.wait,
        until=given.until,
        json=given.json,
        mode=mode,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m testclients",
        description="Chat in a terminal or a script.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--server",
        type=_http_url,
        default="http://127.0.0.1:3000",
        metavar="URL",
        help="default: %(default)s",
    )
    add(
        "--chat-url",
        type=_ws_url,
        metavar="URL",
        help=f"default: the server's host, port {CHAT_PORT}",
    )
    add("--user", metavar="NAME", help="asked for when interactive")
    add("--password", metavar="WORD", help=f"or the variable {PASSWORD_VARIABLE}, else asked for")
    add("--register", action="store_true", help="create the account first")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--to", metavar="USER", help="the conversation with this user")
    where.add_argument("--group", metavar="ID|NAME", help="the conversation of this group")
    add("--send", metavar="TEXT", help="send one message and print its ack")
    add("--wait", type=_seconds, metavar="SECONDS", help="print what comes for so long")
    add(
        "--until",
        type=_count,
        metavar="COUNT",
        help="print what comes until so many messages, of the "
        "chosen conversation if there is one; with --wait no longer than that",
    )
    add("--json", action="store_true", help="print each push and ack as one line of JSON")
    return parser


def _chat_url(server: str) -> str:
    parts = urlsplit(server)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{host}:{CHAT_PORT}/"


def _http_url(text: str) -> str:
    return _url(text, ("http", "https"))


def _ws_url(text: str) -> str:
    return _url(text, ("ws", "wss"))


def _url(text: str, schemes: tuple[str, str]) -> str:
    wanted = argparse.ArgumentTypeError(
        f"{text!r} is no {schemes[0]}:// or {schemes[1]}:// address"
    )
    try:
        parts = urlsplit(text)
        # The property itself refuses what is no port.
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        raise wanted from None
    if parts.scheme not in schemes or not parts.hostname or not has_port:
        raise wanted
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)
