"""chatd.cli: what it refuses before anything is begun."""

import os
from typing import Final

import pytest

from chatd import cli

BACKENDS: Final = {
    "CHATD_DATABASE_URL": "postgresql://chatd@127.0.0.1:1/x",
    "CHATD_CASSANDRA_HOSTS": "127.0.0.1:1",
    "CHATD_REDIS_URL": "redis://127.0.0.1:1",
    "CHATD_JWT_SECRET": "0123456789abcdef0123456789abcdef",
}
CASES: Final[dict[str, tuple[list[str], dict[str, str], list[str]]]] = {
    "no workers": (["serve", "--workers", "0"], BACKENDS, ["--workers", "1 to 64"]),
    "too many workers": (["serve", "--workers", "65"], BACKENDS, ["--workers", "1 to 64"]),
    "workers of the embedded default": (["serve", "--workers", "2"], {}, ["--workers"]),
    "roles of the embedded default": (["serve", "--role", "chat"], {}, ["--role"]),
    "no such role": (["serve", "--role", "chat,kitchen"], BACKENDS, ["--role", "http,chat"]),
    "no role": (["serve", "--role", ""], BACKENDS, ["--role"]),
    "half a demo": (["serve", "--role", "chat", "--demo"], BACKENDS, ["--demo", "http"]),
    "a port of the system's choice": (
        ["serve", "--workers", "2", "--presence-port", "0"],
        BACKENDS,
        ["CHATD_PRESENCE_PORT is 0"],
    ),
    "too few ports": (
        ["serve", "--workers", "3", "--own-http-port", "65534"],
        BACKENDS,
        ["CHATD_OWN_HTTP_PORT", "3 workers"],
    ),
    "backends without a secret": (
        ["serve"],
        BACKENDS | {"CHATD_JWT_SECRET": ""},
        ["CHATD_JWT_SECRET"],
    ),
    "two backends": (["migrate"], BACKENDS | {"CHATD_REDIS_URL": ""}, ["CHATD_REDIS_URL"]),
    "nothing to migrate": (["migrate"], {}, ["CHATD_DATABASE_URL", "chatd serve"]),
    "a worker of the embedded default": (["worker"], {}, ["embedded"]),
    "jobs of the embedded default": (["jobs", "failed"], {}, ["embedded"]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, settings, words = CASES[name]
    for variable in [variable for variable in os.environ if variable.startswith("CHATD_")]:
        monkeypatch.delenv(variable)
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    assert cli.main(arguments) == 2
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.startswith("chatd: ") and output.err.count("\n") == 1
    for word in words:
        assert word in output.err
