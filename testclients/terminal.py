"""The terminal client: log-in, what it runs, and how every way to end becomes an exit code."""

import asyncio
import getpass
import io
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from testclients import http, render
from testclients.client import ChatClient
from testclients.conversations import Ambiguous, UnknownGroup
from testclients.credentials import Credentials
from testclients.errors import CannotConnect, ClientError, HttpFailed, RequestFailed
from testclients.interactive import Interactive
from testclients.lines import BadLine, LineReader
from testclients.options import (
    EXIT_NO_CONNECTION,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_USAGE,
    Mode,
    Options,
    parse,
)
from testclients.screen import make_screen
from testclients.script import Script

EXIT_BUG: Final = 70
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
EXIT_BROKEN_PIPE: Final = 128 + signal.SIGPIPE
EXIT_TERMINATED: Final = 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client with a command line (without the program's name). Returns the exit code."""
    _prepare_streams()
    options = parse(sys.argv[1:] if argv is None else argv, os.environ, sys.stdin.isatty())
    try:
        return asyncio.run(_run(_ask(options)))
    except ClientError as error:
        _complain(f"refused: {error}" if exit_code(error) == EXIT_REFUSED else str(error))
        return exit_code(error)
    except (KeyboardInterrupt, EOFError):
        # On a terminal it is how one leaves; to a script it is a failure.
        return EXIT_OK if options.mode is Mode.INTERACTIVE else EXIT_INTERRUPTED
    except asyncio.CancelledError:
        return EXIT_TERMINATED
    except BrokenPipeError:
        # Or the last flush would fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        _complain(f"this is a bug of the client: {type(error).__name__}: {error}")
        return EXIT_BUG


def exit_code(error: ClientError) -> int:
    """What a failure means to a script."""
    match error:
        case Ambiguous() | BadLine():
            return EXIT_USAGE
        case RequestFailed() | UnknownGroup():
            return EXIT_REFUSED
        case HttpFailed() if error.code is not None:
            return EXIT_REFUSED
        case CannotConnect() if error.http_status in (401, 403):
            return EXIT_REFUSED
        case _:
            return EXIT_NO_CONNECTION


async def _run(options: Options) -> int:
    assert options.user is not None and options.password is not None, "asked for"
    task = asyncio.current_task()
    assert task is not None
    # So that the terminal is given back in order.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    begin = http.register if options.register else http.login
    login = await begin(options.server, options.user, options.password)
    if options.mode is Mode.INTERACTIVE:
        return await _converse(options, login)
    async with ChatClient.connect(options.chat_url, login.token) as client:
        try:
            code = await _serve(client, options)
        except BaseException:
            await client.abort()  # a clean close would make delivered what nobody has seen
            raise
    await http.logout(options.server, login.token)
    return code


async def _serve(client: ChatClient, options: Options) -> int:
    if options.mode is Mode.FLAGS:
        return await Script(client, options).run_flags()
    return await Script(client, options).run_lines(LineReader(sys.stdin.fileno()))


async def _converse(options: Options, login: http.Login) -> int:
    credentials = Credentials(options.server, login)
    with make_screen() as screen:
        code = await Interactive(credentials, login.user.username, options, screen).run()
    await http.logout(options.server, credentials.token)
    return code


def _ask(options: Options) -> Options:
    """The options with what was asked for on the terminal where the command line leaves it open."""
    try:
        return _asked(options)
    except (KeyboardInterrupt, EOFError):
        print()  # the prompt has left the cursor behind itself
        raise


def _asked(options: Options) -> Options:
    user, password, is_new = options.user, options.password, options.register
    if user is None:
        is_new = is_new or input("log in or register? [l/r] ").strip().lower().startswith("r")
        user = input("username: ").strip()
    if password is None:
        password = getpass.getpass(f"password for {user}: ")
        while is_new and getpass.getpass("the same again: ") != password:
            _complain("they differ")
            password = getpass.getpass(f"password for {user}: ")
    return replace(options, user=user, password=password, register=is_new)


def _prepare_streams() -> None:
    """What cannot be printed or read as text is no failure; no standard input is an empty one."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdin else "backslashreplace")


def _complain(text: str) -> None:
    print(render.plain(text), file=sys.stderr, flush=True)
