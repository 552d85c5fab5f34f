"""docker-compose.yml as an engine would see it: parsed, and with its variables filled in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy.dockerfile import ROOT

FILE: Final = ROOT / "docker-compose.yml"
SECRETS: Final = {
    "CHATD_JWT_SECRET": "0123456789abcdef" * 4,
    "POSTGRES_PASSWORD": "fedcba9876543210" * 3,
}
"""What the file wants to be given."""
_VARIABLE: Final = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:-|:\?)([^}]*))?\})")


class Missing(Exception):
    """Variables without which an engine refuses the file; the message names them."""


def services(variables: Mapping[str, str] = SECRETS) -> dict[str, dict[str, Any]]:
    """Every service by name.

    Raises:
        Missing
    """
    found: dict[str, dict[str, Any]] = parsed(variables)["services"]
    return found


def parsed(variables: Mapping[str, str] = SECRETS) -> dict[str, Any]:
    """The whole file. Raises Missing."""
    missing: set[str] = set()
    values: dict[str, Any] = _filled(yaml.safe_load(FILE.read_text()), variables, missing)
    if missing:
        raise Missing(", ".join(sorted(missing)))
    return values


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """As the container gets it: all text."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def settings(service: Mapping[str, Any]) -> dict[str, str]:
    """What of its environment is chatd's."""
    return {
        name: value for name, value in environment(service).items() if name.startswith("CHATD_")
    }


def of_chatd(variables: Mapping[str, str] = SECRETS) -> dict[str, dict[str, Any]]:
    """The services that run the image of this project."""
    return {
        name: service
        for name, service in services(variables).items()
        if service["image"].partition(":")[0] == "chatd"
    }


def seconds(duration: str) -> float:
    """Of a duration in seconds, as all in the file are."""
    assert duration.endswith("s") and duration[:-1].isdecimal(), duration
    return float(duration[:-1])


def size(text: str) -> int:
    """Bytes, of a size as Docker, Redis and Java write it."""
    found = re.fullmatch(r"(\d+)([kmg])b?", text.lower())
    assert found is not None, text
    return int(found[1]) << {"k": 10, "m": 20, "g": 30}[found[2]]


def _filled(value: Any, variables: Mapping[str, str], missing: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(below, variables, missing) for name, below in value.items()}
    if isinstance(value, list):
        return [_filled(below, variables, missing) for below in value]
    if not isinstance(value, str):
        return value

    def fill(found: re.Match[str]) -> str:
        dollar, name, kind, rest = found.groups()
        if dollar:
            return "$"
        given = variables.get(name, "")
        if not given and kind != ":-":
            missing.add(name)
        return given or (rest if kind == ":-" else "")

    return _VARIABLE.sub(fill, value)


def mounted(service: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Source and target of each of its volumes."""
    return [
        (source, target)
        for source, target, *_ in (volume.split(":") for volume in service.get("volumes", []))
    ]


def file_of(source: str) -> Path:
    """The file of the checkout that a bind mount names."""
    return (ROOT / source).resolve()
