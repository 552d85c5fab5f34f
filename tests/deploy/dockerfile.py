"""The Dockerfile as a list of instructions, and what of the checkout it is built from."""

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
_STAGE: Final = re.compile(r"(\S+)(?:\s+AS\s+(\S+))?$", re.IGNORECASE)
_RUN_OPTION: Final = re.compile(r"--\S+\s+")


class Instruction(NamedTuple):
    name: str
    """In capitals."""
    text: str
    """All that follows, on one line."""
    stage: str

    @property
    def words(self) -> list[str]:
        """In exec form, or as a shell would split it."""
        return json.loads(self.text) if self.is_exec else shlex.split(self.text)

    @property
    def is_exec(self) -> bool:
        return self.text.startswith("[")

    @property
    def without_options(self) -> str:
        text = self.text
        while text.startswith("--"):
            text = _RUN_OPTION.sub("", text, count=1)
        return text


class Dockerfile:
    def __init__(self, text: str) -> None:
        self.instructions: list[Instruction] = []
        self.bases: dict[str, str] = {}
        """What each stage begins from, an image or another stage, by the stage's name."""
        stage = ""
        for line in _logical_lines(text):
            name, _, rest = line.partition(" ")
            name, rest = name.upper(), rest.strip()
            if name == "FROM":
                found = _STAGE.match(rest)
                assert found is not None, line
                stage = found[2] or str(len(self.bases))
                self.bases[stage] = found[1]
            self.instructions.append(Instruction(name, rest, stage))

    @property
    def final_stage(self) -> str:
        return list(self.bases)[-1]

    def all(self, name: str, stage: str | None = None) -> list[Instruction]:
        """Those of one name, in their order."""
        return [one for one in self.instructions if one.name == name and stage in (None, one.stage)]

    def last(self, name: str) -> Instruction:
        """The one that counts for the image."""
        return self.all(name, self.final_stage)[-1]

    def environment(self, stage: str, before: Mapping[str, str]) -> dict[str, str]:
        """The variables at the end of a stage."""
        values = dict(before)
        for one in self.all("ENV", stage):
            for word in one.words:
                name, equals, value = word.partition("=")
                assert equals, f"ENV {word}: name=value"
                values[name] = re.sub(r"\$(\w+)", lambda found: values[found[1]], value)
        return values

    @property
    def health_check(self) -> list[str]:
        """Its command, in exec form."""
        command = self.last("HEALTHCHECK").without_options.removeprefix("CMD").strip()
        found: list[str] = json.loads(command)
        return found


def read() -> Dockerfile:
    return Dockerfile((ROOT / "Dockerfile").read_text())


def context() -> list[PurePosixPath]:
    """The files of the checkout that a build gets to see: those that .dockerignore leaves."""
    rules = [
        line.strip()
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    return sorted(_seen(ROOT, PurePosixPath(), rules))


def is_left_out(path: PurePosixPath, rules: list[str]) -> bool:
    """The last rule that fits a path or a folder above it decides, as Docker has it."""
    left_out = False
    for rule in rules:
        pattern = rule.removeprefix("!").strip("/")
        if any(_fits(place, pattern) for place in (path, *path.parents[:-1])):
            left_out = not rule.startswith("!")
    return left_out


def _fits(path: PurePosixPath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(path.name, pattern.removeprefix("**/"))
    parts = pattern.split("/")
    return len(parts) == len(path.parts) and all(map(fnmatch.fnmatchcase, path.parts, parts))


def _seen(folder: Path, place: PurePosixPath, rules: list[str]) -> Iterator[PurePosixPath]:
    for entry in folder.iterdir():
        path = place / entry.name
        if not entry.is_dir():
            if not is_left_out(path, rules):
                yield path
        # Something in a folder that is left out may be let in by its own name.
        elif not is_left_out(path, rules) or any(rule.startswith(f"!{path}/") for rule in rules):
            yield from _seen(entry, path, rules)


def _logical_lines(text: str) -> Iterator[str]:
    joined = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or (not line.strip() and not joined):
            continue
        joined += line.strip()
        if joined.endswith("\\"):
            joined = joined.removesuffix("\\")
            continue
        yield joined
        joined = ""
    assert not joined, "the last line goes on"
