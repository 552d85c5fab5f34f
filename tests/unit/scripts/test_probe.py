"""scripts.stack.probe and cql: their bytes, and servers that are none or say something else"""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest

from scripts.stack.cql import Consistency, Opcode, answers, frame, long_string, string_map
from scripts.stack.probe import (
    http_answers,
    kafka_answers,
    postgres_answers,
    redis_answers,
)
from scripts.stack.settings import HOST
from tests.unit.scripts.listener import free_port

ask_cassandra = partial(answers, query="SELECT 1", consistency=Consistency.ONE)
ask_postgres = partial(postgres_answers, user="chatd", database="chatd")
KAFKA_SAYS = b"\0\0\0\x06" + b"\0\0\0\x01"


@contextmanager
def server(replies: Sequence[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Takes one connection, answers each read with one of these; its port, and what it read."""
    read: list[bytes] = []
    with socket.create_server((HOST, 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as connection:
                connection.settimeout(30)
                for reply in replies:
                    read.append(connection.recv(4096))
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], read
        thread.join(30)


def answer(opcode: Opcode, body: bytes = b"") -> bytes:
    return b"\x84" + frame(opcode, body)[1:]


@pytest.mark.parametrize(
    "ask",
    [redis_answers, ask_postgres, kafka_answers, partial(http_answers, path="/"), ask_cassandra],
)
def test_where_nobody_listens_nothing_answers(ask: Callable[[str, int], bool]) -> None:
    assert not ask(HOST, free_port())


@pytest.mark.parametrize(
    "ask",
    [redis_answers, ask_postgres, kafka_answers, partial(http_answers, path="/"), ask_cassandra],
)
@pytest.mark.parametrize("reply", [b"", b"HTTP/1.0 404 Not Found\r\n\r\n", b"\0" * 64])
def test_what_says_something_else_does_not_answer(
    ask: Callable[[str, int], bool], reply: bytes
) -> None:
    with server([reply]) as (port, _):
        assert not ask(HOST, port)


def test_redis_is_ready_when_it_has_loaded_its_data() -> None:
    with server([b"+PONG\r\n"]) as (port, read):
        assert redis_answers(HOST, port)
    assert read == [b"PING\r\n"]
    with server([b"-LOADING Redis is loading\r\n"]) as (port, _):
        assert not redis_answers(HOST, port)


def test_redis_is_told_the_password() -> None:
    with server([b"+OK\r\n+PONG\r\n"]) as (port, read):
        assert redis_answers(HOST, port, "secret")
    assert read == [b"AUTH secret\r\nPING\r\n"]
    with server([b"-WRONGPASS no\r\n+PONG\r\n"]) as (port, _):
        assert not redis_answers(HOST, port, "secret")


def test_postgres_is_ready_when_it_lets_the_role_in() -> None:
    with server([b"R\0\0\0\x08\0\0\0\0"]) as (port, read):
        assert ask_postgres(HOST, port)
    assert read == [b"\0\0\0\x23\0\x03\0\0user\0chatd\0database\0chatd\0\0"]
    with server([b"E\0\0\0\x08starting"]) as (port, _):
        assert not ask_postgres(HOST, port)


def test_kafka_is_ready_when_it_lists_what_it_can() -> None:
    with server([KAFKA_SAYS + b"\0\0"]) as (port, read):
        assert kafka_answers(HOST, port)
    assert read == [b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff"]
    with server([KAFKA_SAYS + b"\0\x23"]) as (port, _):
        assert not kafka_answers(HOST, port)


def test_frames_of_cassandra() -> None:
    assert frame(Opcode.STARTUP, b"ab") == b"\x04\0\0\0\x01\0\0\0\x02ab"
    assert string_map({"a": "bc"}) == b"\0\x01\0\x01a\0\x02bc"
    assert long_string("é") == b"\0\0\0\x02\xc3\xa9"


def test_cassandra_is_ready_when_the_query_has_a_result() -> None:
    with server([answer(Opcode.READY), answer(Opcode.RESULT, b"rows")]) as (port, read):
        assert ask_cassandra(HOST, port)
    assert read[1] == frame(Opcode.QUERY, b"\0\0\0\x08SELECT 1\0\x01\0")
    with server([answer(Opcode.READY), answer(Opcode.ERROR, b"no")]) as (port, _):
        assert not ask_cassandra(HOST, port)


def test_cassandra_that_wants_a_login_gets_it() -> None:
    replies = [
        answer(Opcode.AUTHENTICATE, b"class"),
        answer(Opcode.AUTH_SUCCESS, b"\xff\xff\xff\xff"),
        answer(Opcode.RESULT),
    ]
    with server(replies) as (port, read):
        assert ask_cassandra(HOST, port, credentials=("me", "pw"))
    assert read[1] == frame(Opcode.AUTH_RESPONSE, b"\0\0\0\x06\0me\0pw")
    with server([answer(Opcode.AUTHENTICATE, b"class")]) as (port, _):
        assert not ask_cassandra(HOST, port)
