"""docker-compose.yml, without an engine: its form, and that it agrees with chatd and itself."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatd import cli, config
from chatd.app import ROLES
from chatd.errors import StartError
from tests.deploy import dockerfile, stack
from tests.deploy.dockerfile import ROOT

SERVICES = stack.services()
OURS = stack.of_chatd()
STORES = ("postgres", "cassandra", "redis", "redis-queue", "kafka")
TEST_SERVICES = ROOT / "scripts" / "compose.services.yml"


def schema_check(file: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("file", [stack.FILE, TEST_SERVICES], ids=lambda file: file.name)
def test_the_file_has_the_form_of_the_compose_specification(file: Path) -> None:
    run = schema_check(file)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_a_wrong_word_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yml"
    wrong.write_text(stack.FILE.read_text().replace("depends_on:", "depend_on:", 1))
    assert schema_check(wrong).returncode == 1


def test_all_parts_are_there() -> None:
    assert SERVICES.keys() == {"proxy", *OURS, *STORES}
    assert OURS.keys() == {"chatd1", "chatd2", "presence", "worker", "migrate"}
    assert OURS["chatd1"] == OURS["chatd2"]


@pytest.mark.parametrize("name", OURS)
def test_the_settings_are_chatds_and_good(name: str) -> None:
    settings = config.load(None, stack.settings(OURS[name]), {})
    assert not settings.is_embedded


@pytest.mark.parametrize("name", OURS)
def test_a_misspelled_setting_would_be_found(name: str) -> None:
    wrong = {f"{variable}S": value for variable, value in stack.settings(OURS[name]).items()}
    with pytest.raises(StartError, match="unknown setting"):
        config.load(None, wrong, {})


@pytest.mark.parametrize("name", OURS)
def test_the_command_is_one_of_chatds(name: str) -> None:
    # Ends the program when a word is not known.
    options = cli._parser().parse_args(OURS[name]["command"])
    assert options.command == OURS[name]["command"][0]


def roles(service: dict[str, Any]) -> set[str]:
    command = service["command"]
    if command[0] != "serve":
        return set()
    return set(command[command.index("--role") + 1].split(","))


def test_every_role_is_served_and_there_is_a_worker() -> None:
    assert set().union(*map(roles, OURS.values())) == set(ROLES)
    assert OURS["worker"]["command"] == ["worker"]


def test_the_backends_are_those_of_the_file() -> None:
    for service in OURS.values():
        settings = config.load(None, stack.settings(service), {})
        assert settings.database_url.endswith("@postgres:5432/chatd")
        assert settings.cassandra_hosts == ["cassandra:9042"]
        assert settings.redis_url == "redis://redis:6379/0"
        assert settings.queue_redis_url == "redis://redis-queue:6379/0"
        assert settings.kafka_brokers == ["kafka:9092"]


def test_there_are_no_default_secrets() -> None:
    with pytest.raises(stack.Missing, match="^CHATD_JWT_SECRET, POSTGRES_PASSWORD$"):
        stack.services({})
    with pytest.raises(stack.Missing, match="^POSTGRES_PASSWORD$"):
        stack.services({**stack.SECRETS, "POSTGRES_PASSWORD": ""})


def test_the_password_that_chatd_gives_is_the_databases() -> None:
    password = stack.SECRETS["POSTGRES_PASSWORD"]
    assert stack.environment(SERVICES["postgres"])["POSTGRES_PASSWORD"] == password
    for service in OURS.values():
        assert f":{password}@" in stack.settings(service)["CHATD_DATABASE_URL"]


def test_the_command_that_makes_the_secrets(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    shown = re.search(r"^    (\(umask.*?\.env\))$", page, re.MULTILINE | re.DOTALL)
    assert shown is not None
    in_the_file = re.sub(r"\s#? *", " ", stack.FILE.read_text())
    assert re.sub(r"\s+", " ", shown[1]) in re.sub(r"\s+", " ", in_the_file)
    for code in (0, 1):
        run = subprocess.run(["bash", "-c", shown[1]], cwd=tmp_path, check=False)
        assert bool(run.returncode) == bool(code), "made once, never over what is there"
    made = tmp_path / ".env"
    assert made.stat().st_mode & 0o777 == 0o600
    variables = dict(line.split("=") for line in made.read_text().splitlines())
    assert variables.keys() == stack.SECRETS.keys()
    assert len(set(variables.values())) == len(variables)
    for service in stack.of_chatd(variables).values():
        config.load(None, stack.settings(service), {})


def test_the_file_with_the_secrets_is_not_kept_in_the_repository() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_only_the_proxy_can_be_reached_and_from_this_machine_alone() -> None:
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["proxy"]
    for published in SERVICES["proxy"]["ports"]:
        assert published.startswith("127.0.0.1:")
    elsewhere = stack.services({**stack.SECRETS, "PUBLISH_ON": "10.0.0.1"})["proxy"]["ports"]
    assert all(published.startswith("10.0.0.1:") for published in elsewhere)


def test_the_stores_are_on_a_network_without_a_way_in_or_out() -> None:
    networks = stack.parsed()["networks"]
    assert networks["back"]["internal"] is True and not networks["front"]
    for name in STORES:
        assert SERVICES[name]["networks"] == ["back"]
    assert SERVICES["proxy"]["networks"] == ["front"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_come(name: str) -> None:
    needs = SERVICES[name].get("depends_on", {})
    for other in needs:
        assert other in SERVICES and other != name
        condition = needs[other]["condition"] if isinstance(needs, dict) else "service_started"
        runs_once = SERVICES[other]["restart"] == "no"
        assert (condition == "service_completed_successfully") == runs_once
        if condition == "service_healthy":
            assert SERVICES[other]["healthcheck"]["test"]


def test_the_database_is_migrated_before_anything_uses_it() -> None:
    assert OURS["migrate"]["depends_on"].keys() == {"postgres", "cassandra"}
    assert OURS["migrate"]["restart"] == "no"
    for name, service in OURS.items():
        if name != "migrate":
            assert "migrate" in service["depends_on"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert stack.size(service["deploy"]["resources"]["limits"]["memory"]) > 0
    assert service["logging"]["driver"] == "local", "the others grow without end"
    check = service.get("healthcheck", {})
    if name == "migrate":
        assert check == {"disable": True}
        return
    assert service["restart"] == "unless-stopped"
    if name not in OURS:
        assert check["test"][0] in ("CMD", "CMD-SHELL")
    else:
        assert "test" not in check, "that of the image"
        assert dockerfile.read().health_check


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_those_that_the_tests_run_with(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert tag and tag != "latest"
    tested = yaml.safe_load(TEST_SERVICES.read_text())["services"]
    if name in tested:
        assert tested[name]["image"] == f"{image}:{tag}"


@pytest.mark.parametrize("name", [*OURS, "proxy"])
def test_what_clients_talk_to_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service and "privileged" not in service


@pytest.mark.parametrize("name", OURS)
def test_there_is_time_to_drain(name: str) -> None:
    drain = config.load(None, stack.settings(OURS[name]), {}).drain_seconds
    assert stack.seconds(OURS[name]["stop_grace_period"]) >= drain + 5


def test_one_service_builds_the_image_and_nobody_pulls_it() -> None:
    assert [name for name, service in OURS.items() if "build" in service] == ["migrate"]
    assert len({service["image"] for service in OURS.values()}) == 1
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}


def test_data_is_kept_in_volumes_of_their_own() -> None:
    kept = {name: stack.mounted(service) for name, service in SERVICES.items()}
    volumes = [source for name in STORES for source, _ in kept[name]]
    assert sorted(volumes) == sorted(stack.parsed()["volumes"])
    assert {name for name in STORES if not kept[name]} == {"redis"}
    assert not [name for name in OURS if kept[name]], "a node keeps nothing"
