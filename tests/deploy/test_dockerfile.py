"""The Dockerfile and .dockerignore, without an engine: what a build would be told."""

import re
import subprocess
from pathlib import PurePosixPath

import pytest

import chatd
from chatd import config
from tests.deploy import dockerfile
from tests.deploy.dockerfile import ROOT, Dockerfile
from tests.deploy.programs import from_the_environment

FILE = dockerfile.read()
SOURCES = ("chatd", "protocol", "sql", "cassandra")


@pytest.mark.slow
def test_the_linter_has_nothing_to_say() -> None:
    linter = from_the_environment("hadolint")
    run = subprocess.run(
        [linter, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "")


def test_images_come_from_one_place_and_are_pinned_to_a_patch_release() -> None:
    images = [base for base in FILE.bases.values() if base not in FILE.bases]
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", images[0])


def test_the_image_is_of_several_stages_and_the_last_takes_only_what_was_installed() -> None:
    assert len(FILE.bases) > 1
    copies = [one.text for one in FILE.all("COPY", FILE.final_stage)]
    assert copies == [
        "--from=build /opt/chatd /opt/chatd",
        "deploy/health.py /opt/chatd/health.py",
    ]


def test_nothing_is_fetched_by_the_file_itself() -> None:
    assert not FILE.all("ADD")
    assert not [one for one in FILE.all("RUN") if re.search(r"\b(curl|wget|git)\b", one.text)]


def test_what_is_installed_is_what_the_constraints_say() -> None:
    installs = [
        command
        for one in FILE.all("RUN")
        for command in one.without_options.split("&&")
        if " install " in command and "pip" in command.split()
    ]
    assert installs
    assert all("--constraint constraints.txt" in command for command in installs)


def test_the_user_is_not_root_and_given_by_number() -> None:
    user, _, group = FILE.last("USER").text.partition(":")
    assert int(user) > 0 and int(group) > 0
    last = FILE.instructions.index(FILE.last("USER"))
    assert not [one for one in FILE.instructions[last:] if one.name in ("RUN", "COPY")], (
        "what is done after USER belongs to the user, which could then change it"
    )


def test_signals_reach_chatd() -> None:
    assert FILE.last("ENTRYPOINT").is_exec and FILE.last("ENTRYPOINT").words == ["chatd"]
    assert FILE.last("CMD").is_exec and FILE.last("CMD").words == ["serve"]
    assert FILE.last("STOPSIGNAL").text == "SIGTERM"


def test_the_health_check_is_the_script_that_is_copied() -> None:
    assert FILE.health_check[-1] == "/opt/chatd/health.py"
    assert FILE.health_check[0].startswith("/opt/chatd/bin/")


def test_the_ports_are_those_of_the_settings() -> None:
    defaults = config.Config()
    ports = {defaults.http_port, defaults.chat_port, defaults.presence_port}
    assert {int(port) for port in FILE.last("EXPOSE").words} == ports


def test_the_environment_is_good_and_holds_no_secret() -> None:
    environment = FILE.environment(FILE.final_stage, {"PATH": "/usr/bin"})
    settings = config.load(None, environment, {})
    assert settings.host == "0.0.0.0"
    assert not [name for name in config.SECRETS | config.URLS if getattr(settings, name)]
    named = " ".join(one.text for one in FILE.instructions if one.name in ("ARG", "ENV")).lower()
    assert not re.search(r"secret|password|token|key", named)


def test_the_data_folder_is_the_users() -> None:
    folder = FILE.environment(FILE.final_stage, {"PATH": ""})["CHATD_DATA_DIR"]
    (made,) = [one.text for one in FILE.all("RUN", FILE.final_stage)]
    assert f"install --directory --owner chatd --group chatd --mode 0700 {folder}" in made


def test_the_label_has_the_version() -> None:
    labels = dict(word.split("=", 1) for word in FILE.last("LABEL").words)
    assert labels["org.opencontainers.image.version"] == chatd.__version__
    assert labels["org.opencontainers.image.title"] == "chatd"


def test_the_build_sees_the_sources_and_nothing_else() -> None:
    seen = dockerfile.context()
    files = {str(path) for path in seen if len(path.parts) == 1}
    assert files == {"LICENSE", "README.md", "constraints.txt", "pyproject.toml", "setup.cfg"}
    assert {path.parts[0] for path in seen if len(path.parts) > 1} <= {*SOURCES, "deploy"}
    assert [path for path in seen if path.parts[0] == "deploy"] == [
        PurePosixPath("deploy/health.py")
    ]
    sources = {
        PurePosixPath(path.relative_to(ROOT))
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= set(seen)
    assert not [path for path in seen if "__pycache__" in path.parts]


@pytest.mark.parametrize(
    "path", [".env", ".git/config", "chatd-data/jwt-secret", ".services/redis/redis.conf"]
)
def test_what_is_private_stays_out(path: str) -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert dockerfile.is_left_out(PurePosixPath(path), rules)


def test_instructions_are_read_as_docker_reads_them() -> None:
    read = Dockerfile(
        "# about it\nFROM a:1 AS one\nRUN x \\\n  # why\n  && y\n\n"
        'FROM one\nENV A=1 B="$A 2"\nHEALTHCHECK --interval=1s --retries=2 CMD ["c", "d"]\n'
    )
    assert read.bases == {"one": "a:1", "1": "one"}
    assert [one.text for one in read.all("RUN")] == ["x && y"]
    assert read.environment("1", {}) == {"A": "1", "B": "1 2"}
    assert read.health_check == ["c", "d"]
    assert read.final_stage == "1"
