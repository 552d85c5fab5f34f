"""scripts.stack.java, download and tool: what is found, fetched and told"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from scripts.stack.download import in_cache
from scripts.stack.errors import ServiceError, Unavailable
from scripts.stack.java import pom, release_of
from scripts.stack.tool import run, telling_line

MAVEN = "{http://maven.apache.org/POM/4.0.0}"


def java_home(folder: Path, release: str | None) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch()
    if release is not None:
        (folder / "release").write_text(release)
    return folder


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ('IMPLEMENTOR="x"\nJAVA_VERSION="17.0.15"\n', 17),
        ('JAVA_VERSION="25"\n', 25),
        ('JAVA_VERSION="1.8.0"\n', 1),
        ("", None),
        (None, None),
    ],
)
def test_the_release_of_a_java(text: str | None, release: int | None, tmp_path: Path) -> None:
    assert release_of(java_home(tmp_path, text)) == release


def test_a_folder_without_the_program_is_no_java(tmp_path: Path) -> None:
    (tmp_path / "release").write_text('JAVA_VERSION="17.0.15"\n')
    assert release_of(tmp_path) is None


def test_a_project_is_its_dependencies() -> None:
    root = ElementTree.fromstring(pom("name", ["a.b:c:1", "d:e:2"]))
    found = [
        [element.text for element in dependency] for dependency in root.iter(f"{MAVEN}dependency")
    ]
    assert found == [["a.b", "c", "1"], ["d", "e", "2"]]


def test_a_download_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def fetch(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("content")

    for _ in range(2):
        folder = in_cache(tmp_path / "cache", "name", fetch, lock="lock")
        assert (folder / "file").read_text() == "content"
    assert len(made) == 1


def test_half_a_download_is_none(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "file").write_text("half")
        raise Unavailable("no network")

    with pytest.raises(Unavailable, match="no network"):
        in_cache(tmp_path, "name", fail, lock="lock")
    assert [path.name for path in tmp_path.iterdir()] == ["lock.lock"]


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be kept in"):
        in_cache(tmp_path / "file", "name", lambda folder: None, lock="lock")


def test_the_line_that_tells_most() -> None:
    assert telling_line("reading\n[ERROR] no such jar\nhelp\n") == "[ERROR] no such jar"
    assert telling_line("one\n\n two \n") == "two"
    assert telling_line("") == "it said nothing"


def test_a_tool_that_fails_is_told_in_one_line() -> None:
    with pytest.raises(ServiceError, match="failed with code 3: error: so"):
        run([sys.executable, "-c", "print('error: so'); print('x'); raise SystemExit(3)"])
    with pytest.raises(ServiceError, match="cannot be run"):
        run(["./there-is-no-such-program"])
    assert run([sys.executable, "-c", "print(input())"], text="said") == "said\n"
