from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.options import On, choose_cores, parse


def test_defaults_are_the_workloads_that_have_bounds() -> None:
    options = parse(["all"])
    assert (options.members, options.in_flight, options.pairs) == (100, 8, 100)
    assert (options.connections, options.messages, options.warm_up) == (5_000, 20_000, 2_000)
    assert options.rate == 0


def test_flags() -> None:
    options = parse(
        ["group", "--members", "5", "--in-flight", "2", "--messages", "10", "--rate", "2.5"]
        + ["--repeat", "3", "--beside", "centrifuge", "--size", "20", "--warm-up", "0"]
    )
    assert (options.members, options.in_flight, options.messages) == (5, 2, 10)
    assert (options.rate, options.repeat, options.beside) == (2.5, 3, "centrifuge")
    assert (options.size, options.warm_up) == (20, 0)
    assert parse(["connections", "7"]).connections == 7
    assert parse(["pairs", "--pairs", "3"]).pairs == 3


def test_a_group_with_stalled_readers_goes_on_for_a_time() -> None:
    options = parse(["stalled"])
    assert (options.members, options.rate, options.seconds) == (1_000, 200, 60)
    assert (options.stalled_percent, options.messages, options.warm_up) == (10, 12_000, 1_200)
    options = parse(["stalled", "--seconds", "2.5", "--stalled", "50", "--rate", "10"])
    assert (options.stalled_percent, options.messages, options.warm_up) == (50, 25, 500)


def test_the_scale_is_for_members_and_rate() -> None:
    options = parse(["stalled", "--scale", "0.25"])
    assert (options.members, options.rate, options.messages) == (250, 50, 3_000)


@pytest.mark.parametrize("scale", ["0.001", "11"])
def test_a_scale_beyond_what_a_group_may_have(scale: str) -> None:
    with pytest.raises(BenchError, match="a group has 2 to 10,000 members, not"):
        parse(["stalled", "--scale", scale])


def test_clients_that_come_back() -> None:
    assert (parse(["reconnect"]).clients, parse(["reconnect"]).missed) == (2_000, 150)
    options = parse(["reconnect", "--clients", "30", "--missed", "7", "--repeat", "2"])
    assert (options.clients, options.missed, options.repeat) == (30, 7, 2)


def test_a_soak_goes_on_for_a_time() -> None:
    options = parse(["soak"])
    assert (options.connections, options.busy_percent, options.opens_a_second) == (10_000, 10, 250)
    assert (options.rate, options.messages, options.warm_up) == (1_000, 120_000, 12_000)
    options = parse(
        ["soak", "--connections", "50", "--busy", "30", "--rate", "20", "--seconds", "5"]
        + ["--connect-rate", "9", "--on", "backends"]
    )
    assert (options.connections, options.busy_percent, options.opens_a_second) == (50, 30, 9)
    assert (options.messages, options.on) == (100, On.BACKENDS)


def test_what_chatd_stands_on() -> None:
    assert parse(["group"]).on is On.EMBEDDED
    for command in ("group", "pairs", "connections", "all", "reconnect", "stalled", "soak"):
        options = parse([command, "--on", "backends"])
        assert options.on is On.BACKENDS
        assert options.moves_services
    assert not parse(["group", "--leave-services"]).moves_services


def test_several_nodes_are_on_backends_alone() -> None:
    options = parse(["nodes", "--members", "30", "--in-flight", "4"])
    assert (options.on, options.members, options.in_flight) == (On.BACKENDS, 30, 4)
    assert parse(["group"]).on is On.EMBEDDED
    with pytest.raises(BenchError, match="--on backends"):
        parse(["nodes", "--on", "embedded"])


def test_only_some_are_held_to_their_bounds_unasked() -> None:
    assert parse(["all"]).is_held_to_bounds
    assert parse(["reconnect"]).is_held_to_bounds
    assert not parse(["soak"]).is_held_to_bounds
    assert parse(["soak", "--bounds"]).is_held_to_bounds


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["group", "--members", "1"],
        ["group", "--members", "many"],
        ["group", "--size", "19"],
        ["pairs", "--rate", "0"],
        ["pairs", "--rate", "nan"],
        ["pairs", "--members", "3"],
        ["connections", "0"],
        ["connections", "--rate", "3"],
        ["all", "--beside", "nobody"],
        ["all", "--client-core", "1,x"],
        ["stalled", "--stalled", "0"],
        ["stalled", "--seconds", "0"],
        ["stalled", "--beside", "centrifuge"],
        ["stalled", "--messages", "5"],
        ["soak", "--connections", "11"],
        ["soak", "--busy", "0"],
        ["soak", "--messages", "5"],
        ["group", "--on", "nothing"],
        ["nodes", "--beside", "centrifuge"],
        ["reconnect", "--clients", "1"],
        ["reconnect", "--rate", "5"],
    ],
)
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(arguments)
    assert raised.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--dir", "--json"])
def test_folders_must_be_there(flag: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="folder"):
        parse(["group", flag, str(tmp_path / "missing" / "file")])


def test_more_messages_than_marks_have_numbers_for() -> None:
    with pytest.raises(BenchError, match="at most 9,999,999"):
        parse(["group", "--messages", "9999999"])


@pytest.mark.parametrize(
    ("allowed", "server", "client", "chosen"),
    [
        ([0, 1], None, None, (0, (1,))),
        ([4, 7, 9], None, None, (4, (7,))),
        ([0, 1], 1, None, (1, (0,))),
        ([0, 1], None, [0], (1, (0,))),
        ([0, 1, 2, 3], None, [0, 1], (2, (0, 1))),
        ([0, 1, 2, 3], 3, [1, 2], (3, (1, 2))),
    ],
)
def test_cores(
    allowed: list[int],
    server: int | None,
    client: list[int] | None,
    chosen: tuple[int, tuple[int, ...]],
) -> None:
    assert choose_cores(allowed, server, client) == (*chosen, ())


def test_one_core_is_shared_and_said() -> None:
    server, client, notes = choose_cores([3], 0, [1, 2])
    assert (server, client) == (None, (None, None))
    assert "one core" in notes[0]


@pytest.mark.parametrize(
    ("server", "client", "message"),
    [
        (5, None, "no core 5"),
        (None, [1, 5], "no core 5"),
        (1, [1], "of their own"),
        (None, [1, 1], "of their own"),
        (None, [0, 1], "of their own"),
    ],
)
def test_cores_that_cannot_be(server: int | None, client: list[int] | None, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        choose_cores([0, 1], server, client)
