"""The commands. Whatever goes wrong with them is one line on stderr: exit 2 for what
the user can mend."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from chatd import __version__, config, demo, ids, log
from chatd.app import App
from chatd.auth import TOKEN_SECONDS, Tokens
from chatd.clock import SystemClock
from chatd.config import Config
from chatd.data_dir import DataDir
from chatd.errors import StartError

USAGE_ERROR = 2
CONFIGURATION_PAGE = """# Configuration

Sources in rising order: a TOML file (`--config FILE`), the environment, flags (`--http-port 3001`).
A name that is not in this table is refused, wherever it comes from; lists are comma separated in
the environment and in flags. `chatd check-config` says what is wrong without starting anything.

| TOML key | environment | default | meaning |
|---|---|---|---|"""
ROLES = ("http", "chat", "presence")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = config.load(options.config, os.environ, _flags(options))
        command = {
            "serve": _serve,
            "check-config": _check_config,
            "print-config": _print_config,
            "token": _token,
        }[options.command]
        return command(settings, options)
    except StartError as error:
        print(f"chatd: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


def _serve(settings: Config, options: argparse.Namespace) -> int:
    roles = {role.strip() for role in options.role.split(",")}
    if not roles or not roles <= set(ROLES):
        raise StartError(f"bad value of --role: choose from {','.join(ROLES)}")
    if settings.is_embedded and (roles != set(ROLES) or options.workers != 1):
        raise StartError(
            "--role and --workers need PostgreSQL, Cassandra and Redis:"
            " the embedded default is one process"
        )
    log.configure()
    app = App(settings)
    with DataDir(Path(settings.data_dir)) as data_dir:
        return uvloop.run(_run(app, data_dir, with_demo=options.demo))


async def _run(app: App, data_dir: DataDir, *, with_demo: bool) -> int:
    loop = asyncio.get_running_loop()
    if with_demo:
        app.when_ready = lambda ports: print(
            demo.invitation(app.host, ports.http, ports.chat), flush=True
        )
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, app.stop)
    await app.run(data_dir, with_demo=with_demo)
    return 0


def _check_config(settings: Config, options: argparse.Namespace) -> int:
    print("the configuration is good" + (" (embedded)" if settings.is_embedded else ""))
    return 0


def _print_config(settings: Config, options: argparse.Namespace) -> int:
    """TOML that can be used as a config file; secrets are masked."""
    meanings = config.descriptions()
    if options.markdown:
        print(CONFIGURATION_PAGE)
        for name, default in config.describe(Config()).items():
            shown = msgspec.json.encode(default).decode()
            print(f"| `{name}` | `{config.PREFIX}{name.upper()}` | `{shown}` | {meanings[name]} |")
        return 0
    for name, value in config.describe(settings).items():
        print(f"# {meanings[name]} ({config.PREFIX}{name.upper()})")
        print(f"{name} = {msgspec.json.encode(value).decode()}")
    return 0


def _token(settings: Config, options: argparse.Namespace) -> int:
    """One token per line, in the order of the names."""
    secret = settings.jwt_secret or DataDir(Path(settings.data_dir)).jwt_secret()
    tokens = Tokens(secret.encode())
    for username in options.user:
        print(tokens.sign(username, ids.new_device_id(), SystemClock().now_ms(), options.seconds))
    return 0


def _flags(options: argparse.Namespace) -> dict[str, str]:
    names = config.descriptions()
    return {
        name: value for name, value in vars(options).items() if name in names and value is not None
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chatd", description="A chat server: WebSocket frames, embedded or scaled out."
    )
    parser.add_argument("--version", action="version", version=f"chatd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file; the environment and flags override it",
    )
    group = settings.add_argument_group("settings, over the file and the environment")
    for name, meaning in config.descriptions().items():
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=meaning)

    serve = commands.add_parser("serve", parents=[settings], help="run the server")
    serve.add_argument(
        "--demo", action="store_true", help="make alice, bob and charlie (password123) and a group"
    )
    serve.add_argument("--role", default=",".join(ROLES), help="which parts to run (default: all)")
    serve.add_argument(
        "--workers", type=int, default=1, help="processes on the same ports (real backends only)"
    )
    commands.add_parser(
        "check-config", parents=[settings], help="say whether the configuration is good"
    )
    shown = commands.add_parser(
        "print-config", parents=[settings], help="print every setting with its value and meaning"
    )
    shown.add_argument("--markdown", action="store_true", help="the settings' page of the docs")
    token = commands.add_parser("token", parents=[settings], help="print tokens for users")
    token.add_argument(
        "user", nargs="+", metavar="USER", help="whose token; the account must exist to be let in"
    )
    token.add_argument("--seconds", type=int, default=TOKEN_SECONDS, help="lifetime")
    return parser
