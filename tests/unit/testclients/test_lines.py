import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from testclients.lines import MAX_LINE_BYTES, BadLine, LineReader


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)


async def all_lines(fd: int) -> list[str]:
    reader = LineReader(fd)
    lines = []
    while (line := await reader.next()) is not None:
        lines.append(line)
    assert await reader.next() is None
    return lines


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\n\ntwo", ["one", "", "two"]),
        (b"one\r\n", ["one"]),
        ("grüße\n".encode(), ["grüße"]),
        (b"x" * MAX_LINE_BYTES + b"\n", ["x" * MAX_LINE_BYTES]),
    ],
)
def test_lines_of_a_pipe_and_of_a_file(
    written: bytes, lines: list[str], pipe: tuple[int, int], tmp_path: Path
) -> None:
    read, write = pipe
    os.write(write, written)
    os.close(write)
    assert asyncio.run(all_lines(read)) == lines

    (tmp_path / "input").write_bytes(written)
    with open(tmp_path / "input", "rb") as file:
        assert asyncio.run(all_lines(file.fileno())) == lines


def test_a_line_is_given_before_the_next_is_written(pipe: tuple[int, int]) -> None:
    read, write = pipe

    async def converse() -> None:
        reader = LineReader(read)
        os.write(write, b"one\ntw")
        assert await reader.next() == "one"
        waiting = asyncio.create_task(reader.next())
        os.write(write, b"o\n")
        assert await waiting == "two"
        os.close(write)
        assert await reader.next() is None

    asyncio.run(converse())


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (b"one\n\xff\n", "line 2 is not UTF-8"),
        (b"x" * (MAX_LINE_BYTES + 1) + b"\n", "line 1 is longer"),
        (b"x" * (MAX_LINE_BYTES + 5000), "line 1 is longer"),
    ],
)
def test_what_is_no_line_of_text_is_refused(
    written: bytes, complaint: str, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    os.write(write, written)
    os.close(write)
    with pytest.raises(BadLine, match=complaint):
        asyncio.run(all_lines(read))


def test_a_given_up_wait_leaves_nothing_behind(pipe: tuple[int, int]) -> None:
    read, write = pipe

    async def give_up() -> None:
        reader = LineReader(read)
        waiting = asyncio.create_task(reader.next())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asyncio.get_running_loop().remove_reader(read) is False

    asyncio.run(give_up())
    os.close(write)
