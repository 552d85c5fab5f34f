"""What the docs name exists, and the generated pages are what the code prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.close import CloseCode
from protocol.errors import ErrorCode

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("chatd/", "protocol/", "sql/", "tests/", "docs/", "bench/", "testclients/", "scripts/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_the_docs_exist(page: Path) -> None:
    text = page.read_text()
    named = {
        word
        for word in re.findall(r"`([^`\s]+)`", text)
        if word.startswith(FOLDERS) and "*" not in word
    }
    linked = {
        target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target
    }
    missing = {
        path for path in named if not (ROOT / path).exists() and "…" not in path and "<" not in path
    }
    missing |= {path for path in linked if path and not (page.parent / path).exists()}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_in_the_docs_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)(?: AS=\w+)?`", page.read_text())) <= targets


def test_the_configuration_page_is_what_the_code_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "chatd", "print-config", "--markdown"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert (ROOT / "docs" / "configuration.md").read_text() == printed.stdout, "run `make docs`"


def test_codes_in_the_docs_exist() -> None:
    closes = {str(int(code)) for code in CloseCode}
    for page in PAGES:
        for code in re.findall(r"\b(4[05]\d\d)\b(?! bytes)", page.read_text()):
            if code not in {"4000", "4001", "4499", "4500", "4999"}:
                assert code in closes, f"{page.name}: {code}"
    text = (ROOT / "docs" / "protocol.md").read_text()
    assert all(code in text for code in ErrorCode)


def test_nothing_private_is_named() -> None:
    """The project speaks of itself alone: no path of somebody's machine."""
    for page in PAGES:
        assert not re.search(r"(/root/|/home/|/tmp/|/Users/)", page.read_text()), page
