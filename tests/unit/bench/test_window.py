import pytest

from bench.measure import Usage
from bench.report import FIGURES
from bench.window import Window, Work


def window(server: float, clients: tuple[float, ...], others: float, **services: float) -> Window:
    """Ten seconds in which these shares of a core were used."""
    machine = (server + sum(clients) + sum(services.values()) + others) * 10
    return Window(
        Work(Usage(5.0, 1024), 100.0, dict.fromkeys(services, 7.0)),
        Work(
            Usage(5.0 + server * 10, 2048),
            100.0 + machine,
            {service: 7.0 + share * 10 for service, share in services.items()},
        ),
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


def test_services_are_no_others() -> None:
    figures = window(0.5, (0.25,), 0.125, postgresql=0.25, redis=0.0625).figures
    assert figures == {
        "server_cpu_percent": 50,
        "client_cpu_percent": 25,
        "postgresql_cpu_percent": 25,
        "redis_cpu_percent": 6.25,
        "other_cpu_percent": 12.5,
        "rss_mb": 2,
    }
    assert figures.keys() <= FIGURES.keys()


@pytest.mark.parametrize(
    ("one", "is_paced", "words"),
    [
        (window(0.5, (0.5,), 0.0), True, []),
        (window(1.0, (0.5,), 0.0), True, ["the server's core was full"]),
        (window(1.0, (0.5,), 0.0), False, []),
        (window(0.5, (0.3, 0.96), 0.0), True, ["the load client was the bottleneck"]),
        (window(0.5, (0.5,), 0.5), False, ["other processes of this machine were busy"]),
        (window(0.5, (0.5,), 0.0, redis=0.25), False, []),
        (window(0.5, (0.5,), 0.0, redis=0.5), False, ["the load and the services were"]),
        (window(0.5, (0.5, 0.5), 0.0, redis=0.5), False, []),
        (window(0.5, (1.0,), 0.0, redis=0.5), False, ["the load client was the bottleneck"]),
    ],
)
def test_what_the_user_should_know(one: Window, is_paced: bool, words: list[str]) -> None:
    notes = one.notes(is_paced=is_paced)
    assert len(notes) == len(words)
    assert all(map(str.startswith, notes, words))
