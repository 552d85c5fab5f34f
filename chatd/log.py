"""Logging: one line of text on a terminal, one JSON object a line anywhere else. Never a
token, never a body."""

import json
import logging
import sys
from typing import TYPE_CHECKING, TextIO

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record

_LINE = "<green>{time:HH:mm:ss.SSS}</green> <level>{level: <7}</level> {message}"


def configure(
    stream: TextIO = sys.stderr, level: str = "INFO", *, worker: int | None = None
) -> None:
    """Send the log to a stream, and what libraries log through `logging` too, from WARNING on.

    Of several processes that share a stream each puts its number to its lines.
    """
    logger.remove()
    logger.configure(extra={} if worker is None else {"worker": worker})
    if stream.isatty():
        line = _LINE if worker is None else _LINE.replace("{message}", f"[{worker}] {{message}}")
        logger.add(stream, format=line, level=level, backtrace=False, diagnose=False)
    else:
        logger.add(
            lambda message: _write_json(stream, message),
            level=level,
            backtrace=False,
            diagnose=False,
        )
    # It would advise to install a WebSocket library whenever somebody tries to
    # upgrade on the HTTP port.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # It tells of each attempt to connect, with a traceback; whoever uses it says what failed.
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)


def _write_json(stream: TextIO, message: "Message") -> None:
    stream.write(json.dumps(_as_json(message.record)) + "\n")
    stream.flush()


def _as_json(record: "Record") -> dict[str, object]:
    line: dict[str, object] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        **record["extra"],
    }
    if record["exception"] is not None:
        kind, value, traceback = record["exception"]
        line["exception"] = logging.Formatter().formatException((kind, value, traceback))  # type: ignore[arg-type]
    return line


class _ToLoguru(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(
            record.levelname, "{}: {}", record.name, record.getMessage()
        )
