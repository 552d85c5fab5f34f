"""What the image would be, made by hand: the steps of the Dockerfile that are Python's are done in
an empty folder, from the files that a build would get, and what comes of them is run."""

import os
import re
import shutil
import signal
import subprocess
import time
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

import chatd
from tests.deploy import dockerfile
from tests.deploy.dockerfile import ROOT, Instruction
from tests.support.node import STOP_SECONDS, free_ports

START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1
_ABSOLUTE: Final = re.compile(r"(?<![\w./$-])/(?=(?:opt|src|var|wheels)\b)")

pytestmark = pytest.mark.slow


class Image:
    """The folders of the image, below one of ours."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = dockerfile.read()
        self._folder = root
        # The Python of the base image: nothing in it but pip.
        venv.create(root / "usr", with_pip=True)
        self.base_path = f"{root / 'usr' / 'bin'}:/usr/bin:/bin"

    def here(self, text: str) -> str:
        """With the image's absolute paths below our folder."""
        return _ABSOLUTE.sub(f"{self.root}/", text)

    def build(self, stage: str) -> None:
        """Do what the stage says, as far as it is Python's and copying."""
        # To compile what is installed is half of the time, and nothing that could go wrong.
        environment = inherited() | {"PATH": self.base_path, "PIP_NO_COMPILE": "1"}
        for step in self.file.instructions:
            if step.stage != stage:
                continue
            if step.name == "WORKDIR":
                self._folder = Path(self.here(step.text))
                self._folder.mkdir(parents=True, exist_ok=True)
            elif step.name == "COPY":
                self._copy(step)
            elif step.name == "RUN" and is_pythons(step):
                command = self.here(step.without_options)
                subprocess.run(
                    ["sh", "-ec", command], cwd=self._folder, env=environment, check=True
                )

    def environment(self) -> dict[str, str]:
        """What the image gives to its processes."""
        found = self.file.environment(self.file.final_stage, {"PATH": self.base_path})
        return {name: self.here(value) for name, value in found.items()}

    def _copy(self, step: Instruction) -> None:
        *sources, target = step.text.split()
        if sources[0].startswith("--from="):
            # Of a stage that was built in these same folders.
            assert sources[1:] == [target] and Path(self.here(target)).exists()
            return
        into = self._folder / self.here(target)
        if sources == ["."]:
            for path in dockerfile.context():
                copy(ROOT / path, into / path)
            return
        (source,) = sources
        assert Path(source) in map(Path, dockerfile.context()), ".dockerignore leaves it out"
        copy(ROOT / source, into)


def is_pythons(step: Instruction) -> bool:
    words = [command.split()[0] for command in step.without_options.split("&&")]
    return set(words) <= {"pip", "python"}


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def inherited() -> dict[str, str]:
    """What pip is told on this machine, and none of what is ours."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHATD_", "PYTHON", "VIRTUAL_ENV"))
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    image = Image(tmp_path_factory.mktemp("image"))
    *builds, last = image.file.bases
    for stage in (*builds, last):
        image.build(stage)
    yield image
    shutil.rmtree(image.root)


def run(image: Image, *command: str) -> str:
    found = subprocess.run(
        command,
        cwd=image.root,
        env=image.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_its_steps_are_of_two_kinds() -> None:
    """Those that are done here, and one that makes the user."""
    steps = dockerfile.read().all("RUN")
    (other,) = [step for step in steps if not is_pythons(step)]
    assert other.text.startswith("groupadd ")


def test_the_installed_program_says_its_version(image: Image) -> None:
    assert run(image, "chatd", "--version") == f"chatd {chatd.__version__}\n"


def test_nothing_but_what_runs_is_installed(image: Image) -> None:
    found = {path.name for path in Path(image.here("/opt/chatd/bin")).iterdir()}
    assert "chatd" in found and "pip" not in found
    names = run(image, "python", "-c", "import chatd, protocol; print(chatd.__file__)")
    assert names.startswith(image.here("/opt/chatd/lib/"))
    imported = (
        "import importlib.util as u; print([n for n in ('pytest', 'mypy') if u.find_spec(n)])"
    )
    assert run(image, "python", "-c", imported) == "[]\n"


def test_the_schema_comes_along(image: Image) -> None:
    for kind in ("sql/sqlite", "sql/postgres", "cassandra"):
        code = f"from chatd.schema import schema_files; print(len(schema_files('{kind}')))"
        if (ROOT / kind).exists():
            assert int(run(image, "python", "-c", code)) > 0


def test_it_serves_is_healthy_writes_to_its_data_folder_alone_and_ends(
    image: Image, tmp_path: Path
) -> None:
    http, chat, presence = free_ports(3)
    environment = image.environment() | {
        "CHATD_HOST": "127.0.0.1",
        "CHATD_HTTP_PORT": str(http),
        "CHATD_CHAT_PORT": str(chat),
        "CHATD_PRESENCE_PORT": str(presence),
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    installed = Path(image.here("/opt"))
    before = contents(installed)
    file = image.file
    command = [*file.last("ENTRYPOINT").words, *file.last("CMD").words]
    folder = Path(image.here(file.last("WORKDIR").text))
    folder.mkdir(parents=True, exist_ok=True)
    log_file = image.root / "log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]],
            cwd=folder,
            env=environment,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while (said := health(image, environment, process.pid)) is not None:
            assert process.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline, said + log_file.read_text()
            time.sleep(_POLL_SECONDS)
        process.send_signal(getattr(signal, file.last("STOPSIGNAL").text))
        assert process.wait(STOP_SECONDS) == 0, log_file.read_text()
        assert health(image, environment, process.pid) is not None
    finally:
        process.kill()
        process.wait()
    assert not list(tmp_path.iterdir())
    assert contents(installed) == before
    assert environment["CHATD_DATA_DIR"] == str(folder)
    assert (folder / "chatd.sqlite").exists()


def contents(folder: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in folder.rglob("*")}


def health(image: Image, environment: Mapping[str, str], process: int) -> str | None:
    """What the health check says against it; None: nothing."""
    command = [image.here(word) for word in image.file.health_check]
    check = subprocess.run(
        [*command, str(process)], env=environment, capture_output=True, text=True, check=False
    )
    return None if check.returncode == 0 else check.stderr
