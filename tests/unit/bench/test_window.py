import pytest

from bench.measure import Usage
from bench.window import Window, Work


def window(server: float, clients: tuple[float, ...], others: float) -> Window:
    """Ten seconds in which these shares of a core were used."""
    machine = (server + sum(clients) + others) * 10
    return Window(
        Work(Usage(5.0, 1024), 100.0),
        Work(Usage(5.0 + server * 10, 2048), 100.0 + machine),
        10.0,
        clients,
    )


def test_shares_of_server_load_and_others() -> None:
    figures = window(0.5, (0.25, 0.125), 0.125).figures
    assert figures == {
        "server_cpu_percent": 50,
        "client_cpu_percent": 25,
        "other_cpu_percent": 12.5,
        "rss_mb": 2,
    }
    assert window(0.5, (0.25,), 0.0).server_seconds == 5


@pytest.mark.parametrize(
    ("one", "is_paced", "words"),
    [
        (window(0.5, (0.5,), 0.0), True, []),
        (window(1.0, (0.5,), 0.0), True, ["the server's core was full"]),
        (window(1.0, (0.5,), 0.0), False, []),
        (window(0.5, (0.3, 0.96), 0.0), True, ["the load client was the bottleneck"]),
        (window(0.5, (0.5,), 0.5), False, ["other processes of this machine were busy"]),
    ],
)
def test_what_the_user_should_know(one: Window, is_paced: bool, words: list[str]) -> None:
    notes = one.notes(is_paced=is_paced)
    assert len(notes) == len(words)
    assert all(map(str.startswith, notes, words))
