"""The commands. Whatever goes wrong with them is one line on stderr: exit 2 for what
the user can mend, 1 for what may be well later."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop
from loguru import logger

from chatd import __version__, config, demo, ids, log, supervisor
from chatd.app import ROLES, App, Ports, reserve
from chatd.auth import TOKEN_SECONDS, Tokens
from chatd.clock import SystemClock
from chatd.config import Config
from chatd.data_dir import DataDir
from chatd.errors import BackendAway, BackendError, StartError

_BEYOND_THE_DRAIN_SECONDS = 4.5
CONFIGURATION_PAGE = """# Configuration

Sources in rising order: a TOML file (`--config FILE`), the environment, flags (`--http-port 3001`).
A name that is not in this table is refused, wherever it comes from; lists are comma separated in
the environment and in flags. `chatd check-config` says what is wrong without starting anything.

| TOML key | environment | default | meaning |
|---|---|---|---|"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    options.arguments = arguments
    try:
        settings = config.load(options.config, os.environ, _flags(options))
        command = {
            "serve": _serve,
            "worker": _work,
            "jobs": _jobs,
            "migrate": _migrate,
            "check-config": _check_config,
            "print-config": _print_config,
            "token": _token,
        }[options.command]
        return command(settings, options)
    except StartError as error:
        print(f"chatd: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


def _serve(settings: Config, options: argparse.Namespace) -> int:
    roles = _roles(options)
    if not 1 <= options.workers <= supervisor.WORKERS:
        raise StartError(f"bad value of --workers: 1 to {supervisor.WORKERS}")
    if settings.is_embedded and (set(roles) != set(ROLES) or options.workers != 1):
        raise StartError(
            "--role and --workers need PostgreSQL, Cassandra and Redis:"
            " the embedded default is one process"
        )
    if options.demo and not {"http", "chat"} <= set(roles):
        raise StartError("--demo needs the roles http and chat")
    log.configure(worker=options.worker)
    if options.workers > 1 and options.worker is None:
        return asyncio.run(_supervise(settings, roles, options))
    if not settings.is_embedded:
        return uvloop.run(_run(settings, roles, None, options))
    with DataDir(Path(settings.data_dir)) as data_dir:
        return uvloop.run(_run(settings, roles, data_dir, options))


def _roles(options: argparse.Namespace) -> list[str]:
    named = {role.strip() for role in options.role.split(",")}
    if not named <= set(ROLES):
        raise StartError(f"bad value of --role: choose from {','.join(ROLES)}")
    return [role for role in ROLES if role in named]


async def _run(
    settings: Config, roles: list[str], data_dir: DataDir | None, options: argparse.Namespace
) -> int:
    loop = asyncio.get_running_loop()
    app = App(settings, roles=roles, worker=options.worker)
    with_demo = options.demo and options.worker in (None, 1)
    last_resort = threading.Timer(settings.drain_seconds + _BEYOND_THE_DRAIN_SECONDS, _leave)
    last_resort.daemon = True

    def stop() -> None:
        app.stop()
        if last_resort.ident is None:
            last_resort.start()

    link = None if options.worker is None else supervisor.Link(stop)

    def ready(ports: Ports) -> None:
        if with_demo:
            print(demo.invitation(app.host, ports.http, ports.chat), flush=True)
        if link is not None:
            link.tell_ready()

    app.when_ready = ready
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await app.run(data_dir, with_demo=with_demo)
    return 0


def _leave() -> None:
    """End a process that was to end by now. It may be waiting for a backend that does not answer,
    in a thread that nobody can stop; nothing that was acknowledged waits for that."""
    logger.error("something has not ended in time, and is left")
    os._exit(0)


async def _supervise(settings: Config, roles: list[str], options: argparse.Namespace) -> int:
    """Keep the workers running. The ports stay bound meanwhile, so that nobody else takes them
    while no worker listens."""
    loop = asyncio.get_running_loop()
    held = reserve(settings, roles, workers=options.workers)
    command = [sys.executable, "-m", "chatd", *options.arguments]
    chief = supervisor.Supervisor(
        command, workers=options.workers, drain_seconds=settings.drain_seconds
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, chief.stop, number)
    try:
        return await chief.run()
    finally:
        for listener in held:
            listener.close()


def _migrate(settings: Config, options: argparse.Namespace) -> int:
    if settings.is_embedded:
        raise StartError(
            "there is nothing to migrate: `chatd serve` brings the embedded database up to date;"
            " for the backends set CHATD_DATABASE_URL, CHATD_CASSANDRA_HOSTS and CHATD_REDIS_URL"
        )
    from chatd.app_backends import migrate

    log.configure()
    try:
        applied = asyncio.run(migrate(settings))
    except BackendError as error:
        raise BackendAway(f"lost while migrating, which can be repeated: {error}") from error
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("everything is up to date")
    return 0


def _work(settings: Config, options: argparse.Namespace) -> int:
    from chatd import worker

    log.configure()
    return worker.run(settings)


def _jobs(settings: Config, options: argparse.Namespace) -> int:
    """A line for each dead letter, newest first; or how many were put back."""
    from chatd import worker

    if options.verb == "retry":
        print(f"put back: {worker.retry(settings, options.job)}")
        return 0
    for letter in worker.failed(settings):
        at = datetime.fromtimestamp(letter.failed_at_ms / 1000, UTC).isoformat(timespec="seconds")
        print(f"{letter.job_id}  {at}  {letter.job}: {letter.error}")
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
    # Of a process that a supervisor started: its number, from 1.
    serve.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    commands.add_parser(
        "worker", parents=[settings], help="do the jobs of the queue (real backends only)"
    )
    jobs = commands.add_parser("jobs", help="jobs that failed too often to be tried again")
    verbs = jobs.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("failed", parents=[settings], help="list them, newest first")
    retry = verbs.add_parser("retry", parents=[settings], help="put them back into the queue")
    retry.add_argument("job", nargs="*", metavar="ID", help="which; without any all of them")
    commands.add_parser(
        "migrate", parents=[settings], help="bring PostgreSQL and Cassandra up to this version"
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
