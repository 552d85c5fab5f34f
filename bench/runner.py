"""Runs scenarios on peers, each run on a server of its own in an empty folder."""

import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Generic, TypeVar

from bench import measure, report
from bench.errors import BenchError
from bench.options import Options, parse
from bench.peers import Peer
from bench.peers.centrifuge import Centrifuge
from bench.peers.chatd import Chatd
from bench.report import Result
from bench.scenarios import Measured, connections, group, pairs, reconnect, stalled

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143


P = TypeVar("P", bound=Peer)


@dataclass(frozen=True)
class Scenario(Generic[P]):
    """For peers of the type `P`."""

    title: Callable[[Options], str]
    variants: Mapping[str, Callable[[P, Options], Measured]]
    """By name, empty where there is one alone."""


SCENARIOS: Final[dict[str, Scenario[Peer]]] = {
    group.NAME: Scenario(group.title, {"": group.run}),
    pairs.NAME: Scenario(pairs.title, {"": pairs.run}),
    connections.NAME: Scenario(connections.title, {"": connections.run}),
}
"""Those of `all`."""
OWN_SCENARIOS: Final[dict[str, Scenario[Chatd]]] = {
    stalled.NAME: Scenario(
        stalled.title,
        {"with stalled readers": stalled.run_with, "without": stalled.run_without},
    ),
    reconnect.NAME: Scenario(reconnect.title, {"": reconnect.run}),
}
"""Those for which no other peer has what it takes."""
PEERS: Final[dict[str, type[Peer]]] = {"centrifuge": Centrifuge}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What goes wrong is one line on stderr."""
    try:
        options = parse(arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_USAGE
    signal.signal(signal.SIGTERM, _terminate)  # so that what was started is stopped
    try:
        return _run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_FAILED


def _run(options: Options) -> int:
    machine = measure.machine()
    print(_head(machine, options), flush=True)
    peers: list[type[Peer]] = [Chatd]
    if options.beside is not None:
        peers.append(PEERS[options.beside])
    names = list(SCENARIOS) if options.command == "all" else [options.command]
    results: list[Result] = []
    for name in names:
        if name in OWN_SCENARIOS:
            of_scenario = _run_scenario(name, OWN_SCENARIOS[name], [Chatd], options)
        else:
            of_scenario = _run_scenario(name, SCENARIOS[name], peers, options)
        results += of_scenario
        print("\n" + report.scenario_table(of_scenario), flush=True)
        if options.json is not None:  # now, because the next scenario may fail
            report.write_json(options.json, machine, asdict(options), results)
    own = [result for result in results if result.peer == Chatd.name]
    is_good = all(result.tally is None or result.tally.is_clean for result in own)
    if options.command in ("all", reconnect.NAME):
        table, is_kept = report.bounds_table(own)
        print("\n" + table)
        is_good = is_good and is_kept
    return EXIT_OK if is_good else EXIT_FAILED


def _run_scenario(
    name: str, scenario: Scenario[P], peers: list[type[P]], options: Options
) -> list[Result]:
    """The peers and variants take turns, so that what changes on the machine meanwhile meets all of
    them.

    A peer that cannot be run is taken from `peers`, with a note: chatd is measured all the same.
    """
    runs: dict[tuple[type[P], str], list[Measured]] = {}
    for turn in range(options.repeat):
        for peer in list(peers):
            for variant, run in scenario.variants.items():
                try:
                    runs.setdefault((peer, variant), []).append(_run_once(run, peer, options))
                except BenchError as error:
                    if peer is Chatd:
                        raise
                    peers.remove(peer)
                    for key in [key for key in runs if key[0] is peer]:
                        del runs[key]
                    print(f"note: without {peer.name}: {error}", flush=True)
                    break
                which = f"{peer.name} {variant}".rstrip()
                _progress(f"{name}: {which}, run {turn + 1} of {options.repeat}")
    return [
        Result(name, scenario.title(options), peer.name, peer.description, theirs, variant)
        for (peer, variant), theirs in runs.items()
    ]


def _run_once(run: Callable[[P, Options], Measured], peer: type[P], options: Options) -> Measured:
    with (
        tempfile.TemporaryDirectory(prefix="chatd-bench-", dir=options.folder) as folder,
        peer(Path(folder), options.server_core) as server,
    ):
        try:
            return run(server, options)
        except BenchError:
            server.check()  # that it has ended says more than what came of it
            raise


def _head(machine: dict[str, str], options: Options) -> str:
    """The circumstances that figures depend on."""
    if options.command == reconnect.NAME:
        load = "loopback"
    else:
        loop = "open" if options.rate else "closed"
        load = f"{loop} loop, {options.warm_up:,} messages of warm-up not counted, loopback"
    cores = (
        "not pinned"
        if options.server_core is None
        else f"server {options.server_core}, load {', '.join(map(str, options.client_cores))}"
    )
    facts = {
        **machine,
        "cores": cores,
        "load": load,
        "wire": "no TLS, no compression",
    }
    lines = [f"{name + ':':<11}{value}" for name, value in facts.items()]
    return "\n".join([*lines, *(f"note: {note}" for note in options.notes)])


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(EXIT_TERMINATED)
