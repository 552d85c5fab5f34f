import os
import socket

import pytest

from bench.listening import inodes_of, is_loopback, listening
from bench.processes import HOST

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:0CEA 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1
   2: 0100007F:0CEB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1
   3: 00000000:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1
"""


def test_who_listens_is_not_who_is_connected() -> None:
    assert inodes_of(TABLE, 0x0CEA) == {"111", "444"}
    assert inodes_of(TABLE, 0x9C40) == set()


def test_this_process_is_found_by_its_port() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert listening(port) == [os.getpid()]
    assert listening(port) == []


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("127.0.0.1", True), ("127.0.0.3", True), ("::1", True), ("localhost", True)]
    + [("10.0.0.1", False), ("db.example.org", False)],
)
def test_loopback(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
