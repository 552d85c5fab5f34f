"""Runs scenarios on peers, each run on a server of its own in an empty folder."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final, Generic, TypeVar

from bench import measure, report
from bench.bounds import BOUNDS, bounds_table
from bench.command_line import PACE
from bench.errors import BenchError
from bench.options import On, Options, parse
from bench.peers import Peer
from bench.peers.centrifuge import Centrifuge
from bench.peers.chatd import Chatd
from bench.processes import pinned
from bench.report import Result
from bench.scenarios import Measured, connections, group, nodes, pairs, reconnect, soak, stalled

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143
PACED: Final = "paced"

P = TypeVar("P", bound=Peer)
P_co = TypeVar("P_co", bound=Peer, covariant=True)


@dataclass(frozen=True)
class Entrant(Generic[P_co]):
    """A peer that can be made anew for every run."""

    name: str
    description: str
    make: Callable[[Path, int | None], P_co]
    """Of a folder of its own and the core that it is to run on."""


@dataclass(frozen=True)
class Scenario(Generic[P]):
    """For peers of the type `P`."""

    title: Callable[[Options], str]
    variants: Mapping[str, Callable[[P, Options], Measured]]
    """By name, empty where there is one alone."""


def _at_a_pace(options: Options) -> Options:
    return replace(options, rate=PACE)


SCENARIOS: Final[dict[str, Scenario[Peer]]] = {
    group.NAME: Scenario(group.title, {"": group.run}),
    pairs.NAME: Scenario(pairs.title, {"": pairs.run}),
    PACED: Scenario(
        lambda options: pairs.title(_at_a_pace(options)),
        {"": lambda peer, options: pairs.run(peer, _at_a_pace(options))},
    ),
    connections.NAME: Scenario(connections.title, {"": connections.run}),
}
OWN_SCENARIOS: Final[dict[str, Scenario[Chatd]]] = {
    stalled.NAME: Scenario(
        stalled.title,
        {"with stalled readers": stalled.run_with, "without": stalled.run_without},
    ),
    reconnect.NAME: Scenario(reconnect.title, {"": reconnect.run}),
    nodes.NAME: Scenario(nodes.title, {"two nodes": nodes.run_two, "one node": nodes.run_one}),
    soak.NAME: Scenario(soak.title, {"": soak.run}),
}
"""Those for which no other peer has what it takes."""
PEERS: Final[dict[str, Entrant[Peer]]] = {
    one.name: Entrant(one.name, one.description, one) for one in (Centrifuge,)
}


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


def scenarios_of(options: Options) -> list[str]:
    """The names of those that a command runs."""
    on_backends = options.on is On.BACKENDS
    if options.command == "all" and on_backends:
        return [group.NAME, pairs.NAME, PACED, nodes.NAME, connections.NAME]
    if options.command == "all":
        return [group.NAME, pairs.NAME, connections.NAME]
    if options.command == pairs.NAME and on_backends and not options.rate:
        return [pairs.NAME, PACED]
    return [options.command]


def _run(options: Options) -> int:
    machine = measure.machine()
    with _chatd(options, machine) as (chatd, notes), pinned(*options.client_cores):
        print(_head(machine, options, notes), flush=True)
        results = _run_scenarios(chatd, machine, options)
    own = [result for result in results if result.peer == chatd.name]
    is_good = all(result.tally is None or result.tally.is_clean for result in own)
    if options.is_held_to_bounds:
        table, is_kept = bounds_table(own, BOUNDS[options.on])
        print("\n" + table)
        is_good = is_good and is_kept
    return EXIT_OK if is_good else EXIT_FAILED


@contextmanager
def _chatd(
    options: Options, machine: dict[str, str]
) -> Iterator[tuple[Entrant[Chatd], Sequence[str]]]:
    """How chatd is made, while what it stands on is there, which is added to `machine`; and notes
    on that."""
    if options.on is On.EMBEDDED:
        yield Entrant(Chatd.name, Chatd.description, Chatd), ()
        return
    # Imported here: every load process would have to, and is measured.
    from bench.backends import described
    from bench.peers.chatd_backends import ChatdOnBackends
    from bench.services import Services

    cores = [core for core in options.client_cores if core is not None]
    with Services(os.environ, cores if options.moves_services and cores else None) as services:
        machine["backends"] = described(services)

        def make(folder: Path, core: int | None) -> Chatd:
            return ChatdOnBackends(folder, core, services)

        yield Entrant(Chatd.name, ChatdOnBackends.description, make), services.notes


def _run_scenarios(
    chatd: Entrant[Chatd], machine: Mapping[str, str], options: Options
) -> list[Result]:
    entrants: list[Entrant[Peer]] = [chatd]
    if options.beside is not None:
        entrants.append(PEERS[options.beside])
    results: list[Result] = []
    for name in scenarios_of(options):
        if name in OWN_SCENARIOS:
            of_scenario = _run_scenario(name, OWN_SCENARIOS[name], [chatd], options)
        else:
            of_scenario = _run_scenario(name, SCENARIOS[name], entrants, options)
        results += of_scenario
        print("\n" + report.scenario_table(of_scenario), flush=True)
        if options.json is not None:  # now, because the next scenario may fail
            report.write_json(options.json, machine, asdict(options), results)
    return results


def _run_scenario(
    name: str, scenario: Scenario[P], entrants: list[Entrant[P]], options: Options
) -> list[Result]:
    """The peers and variants take turns, so that what changes on the machine meanwhile meets all of
    them.

    A peer that cannot be run is taken from `entrants`, with a note: chatd is measured all the same.
    """
    runs: dict[tuple[str, str], list[Measured]] = {}
    for turn in range(options.repeat):
        for entrant in list(entrants):
            for variant, run in scenario.variants.items():
                try:
                    measured = _run_once(run, entrant, options)
                except BenchError as error:
                    if entrant.name == Chatd.name:
                        raise
                    entrants.remove(entrant)
                    for key in [key for key in runs if key[0] == entrant.name]:
                        del runs[key]
                    print(f"note: without {entrant.name}: {error}", flush=True)
                    break
                runs.setdefault((entrant.name, variant), []).append(measured)
                which = f"{entrant.name} {variant}".rstrip()
                _progress(f"{name}: {which}, run {turn + 1} of {options.repeat}")
    descriptions = {entrant.name: entrant.description for entrant in entrants}
    return [
        Result(name, scenario.title(options), peer, descriptions[peer], theirs, variant)
        for (peer, variant), theirs in runs.items()
    ]


def _run_once(
    run: Callable[[P, Options], Measured], entrant: Entrant[P], options: Options
) -> Measured:
    with (
        tempfile.TemporaryDirectory(prefix="chatd-bench-", dir=options.folder) as folder,
        entrant.make(Path(folder), options.server_core) as server,
    ):
        try:
            return run(server, options)
        except BenchError:
            server.check()  # that it has ended says more than what came of it
            raise


def _head(machine: Mapping[str, str], options: Options, notes: Sequence[str]) -> str:
    """The circumstances that figures depend on."""
    if options.command == reconnect.NAME:
        load = "loopback"
    else:
        loop = "open" if options.rate else "closed"
        if PACED in scenarios_of(options):
            loop = "closed, and where a rate is given open"
        load = f"{loop} loop, {options.warm_up:,} messages of warm-up not counted, loopback"
    cores = "not pinned"
    if options.server_core is not None:
        others = ", ".join(map(str, options.client_cores))
        cores = f"server {options.server_core}, load {others}"
        if options.on is On.BACKENDS:
            cores += ", services with the load" if options.moves_services else ", services anywhere"
    facts = {
        **machine,
        "cores": cores,
        "load": load,
        "wire": "no TLS, no compression",
    }
    lines = [f"{name + ':':<11}{value}" for name, value in facts.items()]
    return "\n".join([*lines, *(f"note: {note}" for note in (*options.notes, *notes))])


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(EXIT_TERMINATED)
