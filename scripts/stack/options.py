"""The command line and the environment, checked before anything is started."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.stack.registry import DEFAULT_NAMES, NAMES
from scripts.stack.settings import CHECKOUT, PORTS, PREFIX, Settings, port_variable

ALL: Final = "all"
_PORT_MAX: Final = 65_535
_EPILOG: Final = f"""\
services: {" ".join(NAMES)}
`up` alone starts {" ".join(DEFAULT_NAMES)}; `all` names them all.
Those on -tls want a password and TLS; cassandra3 is a cluster of three nodes on 127.0.0.2 to 4.

ports: {" ".join(f"{name}={port}" for name, port in PORTS.items())}
Each also by a variable, as {port_variable("redis-queue")};
--dir and --cache also by {PREFIX}DIR and {PREFIX}CACHE.

`up` prints NAME=value lines for a shell, of the services that it was asked for:
  set -a; eval "$(scripts/services up)"; set +a
If two give the same variable (cassandra and cassandra3), the first in the list above does.

exit codes: 0 all is well; 1 something does not run, or `status` of a named service is not up;
2 bad usage; 3 something cannot be had on this machine; 130 stopped with Ctrl-C
"""


@dataclass(frozen=True)
class Options:
    command: str
    names: tuple[str, ...]
    """Known, each once, in the order of the table."""
    are_named: bool
    """Whether the user named them."""
    as_json: bool
    clean: bool
    settings: Settings


def parse(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Options:
    """Ends the program with a line on stderr and code 2 if something is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        ports = choose_ports(given.port, environment)
    except ValueError as error:
        parser.error(str(error))
    unknown = [name for name in given.names if name not in (*NAMES, ALL)]
    if unknown:
        parser.error(f"there is no service {unknown[0]}; choose from {' '.join((*NAMES, ALL))}")
    folder = given.dir or Path(environment.get(f"{PREFIX}DIR") or CHECKOUT / ".services")
    cache = given.cache or _cache(environment)
    return Options(
        command=given.command,
        names=_names(given.command, given.names),
        are_named=bool(given.names),
        as_json=getattr(given, "json", False),
        clean=getattr(given, "clean", False),
        settings=Settings(
            folder=folder.absolute(),
            cache=cache.absolute(),
            ports=ports,
            may_install=not getattr(given, "no_install", False),
        ),
    )


def choose_ports(given: Sequence[str], environment: Mapping[str, str]) -> dict[str, int]:
    """Every port: the default, the environment, the command line, in rising order.

    Raises:
        ValueError: a name or number that cannot be; the text says which and why.
    """
    ports = dict(PORTS)
    for name in PORTS:
        variable = port_variable(name)
        if text := environment.get(variable):
            ports[name] = _port(text, variable)
    for assignment in given:
        name, _, text = assignment.partition("=")
        if name not in PORTS:
            raise ValueError(f"--port {assignment}: choose from {' '.join(PORTS)}")
        ports[name] = _port(text, f"--port {name}")
    return ports


def _port(text: str, source: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _PORT_MAX:
        raise ValueError(f"{source}: {text!r} is not a port (1 to {_PORT_MAX})")
    return int(text)


def _names(command: str, given: Sequence[str]) -> tuple[str, ...]:
    wanted = set(given)
    if not wanted:
        wanted = set(DEFAULT_NAMES if command == "up" else NAMES)
    if ALL in wanted:
        wanted = set(NAMES)
    return tuple(name for name in NAMES if name in wanted)


def _cache(environment: Mapping[str, str]) -> Path:
    if text := environment.get(f"{PREFIX}CACHE"):
        return Path(text)
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "chatd-services"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/services",
        description="The real services that tests need: start them, stop them, ask for them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("names", nargs="*", metavar="SERVICE", help="which; see --help above")
    common.add_argument("--dir", type=Path, metavar="FOLDER", help="where they live")
    common.add_argument("--cache", type=Path, metavar="FOLDER", help="where downloads are kept")
    common.add_argument(
        "--port", action="append", default=[], metavar="NAME=PORT", help="may be given repeatedly"
    )
    shown = argparse.ArgumentParser(add_help=False)
    shown.add_argument("--json", action="store_true", help="one JSON object on stdout")
    up = commands.add_parser(
        "up", parents=[common, shown], allow_abbrev=False, help="start what is not up yet"
    )
    up.add_argument("--no-install", action="store_true", help="install no Debian packages")
    down = commands.add_parser(
        "down", parents=[common], allow_abbrev=False, help="stop what `up` started"
    )
    down.add_argument("--clean", action="store_true", help="remove their data too")
    commands.add_parser(
        "status", parents=[common, shown], allow_abbrev=False, help="one line for each"
    )
    return parser
