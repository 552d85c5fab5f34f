"""The commands as an operator meets them: what is wrong is one line on stderr and exit code 2."""

import socket
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final, NamedTuple

import jwt
import pytest

from tests.support.node import Node, command, free_ports

SECRET: Final = "0123456789abcdef0123456789abcdef"


class Case(NamedTuple):
    arguments: list[str]
    settings: dict[str, str]
    words: list[str]
    """What the line must say."""


CASES: Final[dict[str, Case]] = {
    "bad value": Case(["serve"], {"chat_port": "many"}, ["CHATD_CHAT_PORT", "many"]),
    "bad flag": Case(["serve", "--chat-port", "65536"], {}, ["--chat-port", "65536"]),
    "bad choice": Case(["serve"], {"registration": "maybe"}, ["CHATD_REGISTRATION"]),
    "unknown setting": Case(["serve"], {"colour": "red"}, ["CHATD_COLOUR"]),
    "short secret": Case(["serve"], {"jwt_secret": "hush"}, ["CHATD_JWT_SECRET", "32"]),
    "simple secret": Case(["serve"], {"jwt_secret": "a" * 40}, ["CHATD_JWT_SECRET"]),
    "low bcrypt cost": Case(["serve"], {"bcrypt_cost": "3"}, ["CHATD_BCRYPT_COST"]),
    "bad origin": Case(["serve"], {"allowed_origins": "example.org"}, ["CHATD_ALLOWED_ORIGINS"]),
    "half a backend": Case(
        ["serve"], {"redis_url": "redis://localhost"}, ["CHATD_DATABASE_URL", "CASSANDRA"]
    ),
    "some roles": Case(["serve", "--role", "http,chat"], {}, ["--role"]),
    "no such role": Case(["serve", "--role", "kitchen"], {}, ["--role", "http", "chat"]),
    "workers": Case(["serve", "--workers", "2"], {}, ["--workers"]),
    "no config file": Case(["serve", "--config", "/no/such/file"], {}, ["/no/such/file"]),
    "check-config": Case(["check-config"], {"http_port": "x"}, ["CHATD_HTTP_PORT"]),
    "print-config": Case(["print-config", "--bcrypt-cost", "99"], {}, ["--bcrypt-cost"]),
    "token": Case(["token", "alice"], {"jwt_secret": "hush"}, ["CHATD_JWT_SECRET"]),
    "file in the way": Case(["token", "a"], {"data_dir": "/dev/null"}, ["/dev/null", "DATA_DIR"]),
    "unknown in a file": Case(["check-config", "--config", "{}/unknown.toml"], {}, ["chat_prot"]),
    "no TOML in a file": Case(["check-config", "--config", "{}/broken.toml"], {}, ["TOML"]),
}


def check_one_line(done: "CompletedProcess[str]", *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    line = done.stderr.removesuffix("\n")
    assert line.startswith("chatd: ")
    assert "\n" not in line
    assert "Traceback" not in line
    for word in words:
        assert word in line, line


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The commands of all cases, run side by side: most of their time is the start of Python."""
    folder = tmp_path_factory.mktemp("cases")
    (folder / "unknown.toml").write_text("chat_prot = 4100\n")
    (folder / "broken.toml").write_text("chat_port = \n")

    def start(name: str) -> "CompletedProcess[str]":
        case = CASES[name]
        data_dir = folder / name.replace(" ", "-")
        arguments = [argument.format(folder) for argument in case.arguments]
        return command(arguments, {"data_dir": str(data_dir)} | case.settings)

    with ThreadPoolExecutor(3) as pool:
        yield dict(zip(CASES, pool.map(start, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_one_line(name: str, results: dict[str, Any]) -> None:
    check_one_line(results[name], *CASES[name].words)
    assert "hush" not in results[name].stderr


@pytest.mark.parametrize("which", ["http", "chat", "presence"])
def test_a_port_in_use(which: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        names = ["http_port", "chat_port", "presence_port"]
        settings = dict(zip(names, map(str, free_ports(3)), strict=True))
        settings |= {"data_dir": str(tmp_path / "data"), f"{which}_port": str(port)}
        done = command(["serve"], settings)
    check_one_line(done, f"127.0.0.1:{port}", f"CHATD_{which.upper()}_PORT")


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = command(["serve"], {"data_dir": str(tmp_path / "file" / "data")})
    check_one_line(done, str(tmp_path / "file" / "data"), "CHATD_DATA_DIR")


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "chatd.sqlite").write_text("this is no database, " * 100)
    ports = dict.fromkeys(["http_port", "chat_port", "presence_port"], "0")
    done = command(["serve"], {"data_dir": str(tmp_path)} | ports)
    check_one_line(done, "chatd.sqlite", "CHATD_DATA_DIR")


def test_a_second_process_on_the_same_data_folder(node: Node) -> None:
    ports = dict.fromkeys(["http_port", "chat_port", "presence_port"], "0")
    done = command(["serve"], node.settings | ports)
    check_one_line(done, str(node.data_dir), f"process {node.pid}", "CHATD_DATA_DIR")
    assert node.get("/health")[0] == 200, "the first is not disturbed"


def test_a_secret_file_that_was_spoiled(tmp_path: Path) -> None:
    (tmp_path / "jwt-secret").write_text("short\n")
    done = command(["token", "alice"], {"data_dir": str(tmp_path)})
    check_one_line(done, "jwt-secret", "short")
    assert (tmp_path / "jwt-secret").read_text() == "short\n", "it is not replaced in silence"


def test_a_good_configuration(tmp_path: Path) -> None:
    done = command(["check-config"], {"jwt_secret": SECRET, "data_dir": str(tmp_path / "none")})
    assert (done.returncode, done.stderr) == (0, "")
    assert "good" in done.stdout
    assert not (tmp_path / "none").exists(), "looking makes nothing"


def test_the_printed_configuration_can_be_used_and_masks_secrets(tmp_path: Path) -> None:
    file = tmp_path / "chatd.toml"
    file.write_text('chat_port = 4100\nhttp_port = 3100\nallowed_origins = ["https://a.example"]\n')
    keys = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    settings = {"http_port": "3200", "jwt_secret": SECRET, "encryption_keys": keys}
    arguments = ["--config", str(file), "--presence-port", "4300"]
    done = command(["print-config", *arguments], settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET not in done.stdout and "AAECAw" not in done.stdout
    values = tomllib.loads(done.stdout)
    assert (values["chat_port"], values["http_port"], values["presence_port"]) == (4100, 3200, 4300)
    assert values["allowed_origins"] == ["https://a.example"]
    assert values["data_dir"] == "./chatd-data"


def test_tokens_are_printed_one_a_line_in_the_order_of_the_names(tmp_path: Path) -> None:
    done = command(["token", "alice", "bob", "--seconds", "60"], {"jwt_secret": SECRET})
    assert (done.returncode, done.stderr) == (0, "")
    claims = [jwt.decode(line, SECRET, algorithms=["HS256"]) for line in done.stdout.split()]
    assert [claim["sub"] for claim in claims] == ["alice", "bob"]
    assert all(claim["exp"] - claim["iat"] == 60 for claim in claims)
    first = command(["token", "alice"], {"data_dir": str(tmp_path / "data")})
    secret = tmp_path / "data" / "jwt-secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    jwt.decode(first.stdout.strip(), secret.read_text().strip(), algorithms=["HS256"])


def test_without_a_command_the_usage_is_shown() -> None:
    done = command([], {})
    assert done.returncode == 2
    assert done.stderr.startswith("usage: chatd")
    assert "Traceback" not in done.stderr
