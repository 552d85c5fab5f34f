"""Fixtures of the unit tests."""

from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture
def error_lines() -> Iterator[list[str]]:
    """The lines of the log from ERROR on."""
    lines: list[str] = []
    handler = logger.add(lines.append, level="ERROR", format="{message}")
    yield lines
    logger.remove(handler)
