"""chatd.app: what surrounds the composition."""

import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chatd.app import bind, reserve
from chatd.config import Config
from chatd.errors import StartError
from tests.support.node import free_ports

ROOT = Path(__file__).parents[2]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_limit_of_open_files_is_raised() -> None:
    code = (
        "import resource; from chatd.app import raise_file_limit\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "print(raise_file_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    connections, soft, hard = (int(word) for word in printed.split())
    assert soft == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert 256 < connections < hard


def test_a_port_that_is_shared_does_not_listen_before_it_is_told_to() -> None:
    (port,) = free_ports(1)
    with (
        bind("127.0.0.1", port, "chat", is_shared=True) as one,
        bind("127.0.0.1", port, "chat", is_shared=True) as other,
    ):
        assert not listens(port)
        one.listen()
        other.listen()
        assert listens(port)


def test_what_is_reserved_for_workers_is_theirs_alone() -> None:
    http, chat, presence, own = free_ports(4)
    config = Config(http_port=http, chat_port=chat, presence_port=presence, own_http_port=own)
    held = reserve(config, ["chat", "presence"], workers=1)
    try:
        assert [one.getsockname()[1] for one in held] == [chat, presence]
        with bind("127.0.0.1", chat, "chat", is_shared=True) as worker:
            worker.listen()
            with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{chat}"):
                reserve(config, ["http", "chat"], workers=1)
        with bind("127.0.0.1", own, "own_http"):
            with pytest.raises(StartError, match="CHATD_OWN_HTTP_PORT"):
                reserve(config, ["chat"], workers=1)
    finally:
        for one in held:
            one.close()


def test_the_own_ports_of_workers_must_not_be_in_the_way() -> None:
    http, chat = free_ports(2)
    config = Config(http_port=http, chat_port=chat, own_http_port=chat - 1)
    with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{chat} "):
        reserve(config, ["chat"], workers=2)
