"""chatd.log, and what the services say in it."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from chatd import log
from chatd.events import EventKind, MessageBody
from tests.support.builders import core, direct, entry
from tests.support.running import on_a_loop


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was before the test."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, ("uvicorn.error", "cassandra"))]
    handlers, levels = root.handlers[:], [one.level for one in loggers]
    yield
    logger.remove()
    logger.configure(extra={})
    root.handlers[:] = handlers
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_elsewhere_than_on_a_terminal_a_line_is_a_json_object() -> None:
    stream = io.StringIO()
    log.configure(stream)
    logger.bind(port=4000).info("ready\non {}", "ü")
    (line,) = lines(stream)
    assert (line["level"], line["message"], line["port"]) == ("INFO", "ready\non ü", 4000)
    assert line["time"][:2] == "20"
    assert stream.getvalue().count("\n") == 1


def test_on_a_terminal_a_line_is_text() -> None:
    stream = Terminal()
    log.configure(stream)
    logger.warning("slow")
    assert stream.getvalue().rstrip().endswith("slow")
    assert "WARNING" in stream.getvalue() and "{" not in stream.getvalue()


def test_a_worker_puts_its_number_to_its_lines() -> None:
    stream, terminal = io.StringIO(), Terminal()
    log.configure(stream, worker=2)
    logger.info("elsewhere")
    log.configure(terminal, worker=2)
    logger.info("on a terminal")
    log.configure(stream)
    logger.info("alone")
    assert [line.get("worker") for line in lines(stream)] == [2, None]
    assert terminal.getvalue().rstrip().endswith("[2] on a terminal")


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    log.configure(stream, "WARNING")
    logger.info("quiet")
    logger.error("loud")
    assert [line["message"] for line in lines(stream)] == ["loud"]


def test_an_exception_comes_with_its_traceback_and_without_values() -> None:
    stream = io.StringIO()
    log.configure(stream)
    token = "ey" + "J" * 30
    try:
        raise RuntimeError("it broke")
    except RuntimeError:
        logger.exception("incident {}", "ab12")
    (line,) = lines(stream)
    assert line["message"] == "incident ab12"
    assert "it broke" in line["exception"] and "test_log.py" in line["exception"]
    assert token not in stream.getvalue()


def test_what_libraries_log_goes_the_same_way() -> None:
    stream = io.StringIO()
    log.configure(stream)
    logging.getLogger("some.library").warning("careful with %s", "this")
    logging.getLogger("some.library").info("chatter")
    assert [(line["level"], line["message"]) for line in lines(stream)] == [
        ("WARNING", "some.library: careful with this")
    ]


def test_configuring_again_replaces_the_stream() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.configure(first)
    log.configure(second)
    logger.info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@on_a_loop
async def test_no_body_and_no_token_is_logged(tmp_path: Path) -> None:
    stream = io.StringIO()
    log.configure(stream, "TRACE")
    async with core(tmp_path, "alice", "bob") as here:
        logged_in = await here.accounts.register("carol", "the password", None)
        await here.accounts.authenticate(logged_in.token)
        bob = await here.connect("bob")
        broken = entry(
            "alice-bob", EventKind.DIRECT_MESSAGE, "alice", MessageBody(content="the body")
        )
        await here.submit(direct("alice", "bob", "the body"), broken)

        def fail(data: bytes) -> None:
            raise RuntimeError("a socket's bug")

        bob.outbox.write = fail
        await here.submit(direct("alice", "bob", "the body"))
        await here.writer.close()
        await here.submit(direct("alice", "bob", "the body"))
    text = stream.getvalue()
    assert len(lines(stream)) >= 3
    for secret in ("the body", "the password", logged_in.token, logged_in.refresh_token):
        assert secret not in text
