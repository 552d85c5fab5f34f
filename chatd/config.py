"""Every setting of the server: its name, default, unit and meaning, in one frozen struct.

Sources in rising order: the defaults, a TOML file, the environment (`CHATD_` and the name in
capitals), flags. A name that is not here is refused, wherever it comes from. This is the only
module that reads the environment.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from chatd import config_rules
from chatd.errors import StartError
from chatd.services.accounts import Registration

PREFIX: Final = "CHATD_"
_PASSWORD_IN_QUERY: Final = re.compile(r"([?&]\w*password=)[^&#]*", re.IGNORECASE)
_MASKED: Final = "(set)"

Port = Annotated[int, Meta(ge=0, le=config_rules.PORT_MAX)]
"""0 lets the system choose, where nothing else is said."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(description="address that all sockets listen on")] = "127.0.0.1"
    http_port: Annotated[Port, Meta(description="HTTP: REST, health, metrics, docs")] = 3000
    chat_port: Annotated[Port, Meta(description="chat WebSocket, path /")] = 4000
    presence_port: Annotated[Port, Meta(description="presence WebSocket, path /")] = 4001
    own_http_port: Annotated[
        Port,
        Meta(
            description="HTTP of one process alone, for health and metrics behind a shared port"
            " or without the role http; each further worker has the next port; 0: none"
        ),
    ] = 0
    data_dir: Annotated[
        str, Meta(description="folder of the embedded default; one process at a time")
    ] = "./chatd-data"
    database_url: Annotated[
        str, Meta(description="postgresql:// URL; the three backends go together")
    ] = ""
    cassandra_hosts: Annotated[list[str], Meta(description="host:port, comma separated")] = []
    cassandra_keyspace: Annotated[str, Meta(description="keyspace of the messages")] = "chatd"
    cassandra_replication: Annotated[
        str,
        Meta(
            description="replication of a new keyspace; default min(3, nodes) in their datacenter"
        ),
    ] = ""
    cassandra_username: Annotated[str, Meta(description="user, where Cassandra wants one")] = ""
    cassandra_password: Annotated[str, Meta(description="password of that user")] = ""
    cassandra_tls_ca: Annotated[
        str, Meta(description="file with the certificates that vouch for the nodes; unset: no TLS")
    ] = ""
    redis_url: Annotated[
        str, Meta(description="redis:// URL of bus, caches, presence and rate limits")
    ] = ""
    queue_redis_url: Annotated[
        str, Meta(description="redis:// URL of the job queue; default the same")
    ] = ""
    kafka_brokers: Annotated[
        list[str], Meta(description="host:port, comma separated; unset: no events")
    ] = []
    jwt_secret: Annotated[
        str,
        Meta(description="signs tokens, at least 32 bytes; made in the data folder when embedded"),
    ] = ""
    encryption_keys: Annotated[
        list[str],
        Meta(
            description="id:base64 of 32 bytes, comma separated, newest first;"
            " unset: bodies in clear"
        ),
    ] = []
    allowed_origins: Annotated[
        list[str],
        Meta(
            description="pages that may connect;"
            " unset: the request's own host name and this machine"
        ),
    ] = []
    public_chat_url: Annotated[
        str, Meta(description="ws(s):// URL of the chat socket as browsers see it")
    ] = ""
    public_presence_url: Annotated[str, Meta(description="the same of the presence socket")] = ""
    registration: Annotated[Registration, Meta(description="who may make an account")] = (
        Registration.OPEN
    )
    drain_seconds: Annotated[
        float, Meta(ge=0, le=600, description="for connections to end at a stop")
    ] = 10.0
    bcrypt_cost: Annotated[
        int, Meta(ge=4, le=16, description="log2 of the rounds; below 12 only for load tests")
    ] = 12
    rate_limits: Annotated[Literal["on", "off"], Meta(description="off only for load tests")] = "on"
    metrics_allow: Annotated[
        list[str],
        Meta(description="networks besides loopback that may read /metrics, comma separated"),
    ] = []
    webhook_url: Annotated[
        str,
        Meta(
            description="http(s):// URL that is told what waits for users who are away;"
            " for those without one of their own"
        ),
    ] = ""
    webhook_secret: Annotated[
        str, Meta(description="signs what is sent there: whsec_ and base64 of 24 to 64 bytes")
    ] = ""
    webhook_allow: Annotated[
        list[str],
        Meta(
            description="networks that a user's own webhook may lead to though they are not"
            " public, comma separated"
        ),
    ] = []
    webhook_pause_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="between two webhooks of a conversation to a user;"
            " what comes meanwhile is one",
        ),
    ] = 30

    @property
    def is_embedded(self) -> bool:
        return not (self.database_url or self.cassandra_hosts or self.redis_url)


SECRETS: Final = frozenset(
    {"jwt_secret", "encryption_keys", "cassandra_password", "webhook_secret"}
)
URLS: Final = frozenset({"database_url", "redis_url", "queue_redis_url", "webhook_url"})
_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Config)}


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str]) -> Config:
    """The configuration of these sources.

    Raises:
        StartError: one line that names the setting, its source and what is wrong with it.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= _from_file(file)
    for variable, text in environment.items():
        if variable.startswith(PREFIX):
            name = _known(variable.removeprefix(PREFIX).lower(), variable)
            values[name] = _parse(name, text, variable)
    for flag, text in flags.items():
        spelled = f"--{flag.replace('_', '-')}"
        name = _known(flag, spelled)
        values[name] = _parse(name, text, spelled)
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise StartError(f"bad configuration: {error}") from None
    config_rules.check(config)
    return config


def describe(config: Config) -> dict[str, Any]:
    """The settings by name, with secrets and the passwords of URLs masked."""
    shown: dict[str, Any] = msgspec.to_builtins(config)
    for name in SECRETS:
        shown[name] = _MASKED if shown[name] else shown[name]
    for name in URLS:
        shown[name] = _without_password(shown[name])
    return shown


def descriptions() -> dict[str, str]:
    """The meaning of each setting, by name."""
    return {name: _description(field.type) for name, field in _FIELDS.items()}


def _description(annotated: Any) -> str:
    return " ".join(
        meta.description
        for meta in get_args(annotated)[1:]
        if isinstance(meta, Meta) and meta.description
    )


def _from_file(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise StartError(f"cannot read the config file {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"{file} is not TOML: {error}") from None
    for name, value in values.items():
        _check(_known(name, f"{name} in {file}"), value, f"{name} in {file}")
    return values


def _known(name: str, source: str) -> str:
    if name not in _FIELDS:
        raise StartError(
            f"unknown setting {source}; `chatd print-config` lists those that there are"
        )
    return name


def _parse(name: str, text: str, source: str) -> Any:
    """A setting's value from text: lists are comma separated, numbers are written in decimal."""
    field_type = _FIELDS[name].type
    base = get_args(field_type)[0]
    value: Any = (
        [part.strip() for part in text.split(",") if part.strip()] if base == list[str] else text
    )
    return _check(name, value, source, strict=False)


def _check(name: str, value: Any, source: str, *, strict: bool = True) -> Any:
    try:
        return msgspec.convert(value, _FIELDS[name].type, strict=strict)
    except msgspec.ValidationError as error:
        shown = "" if name in SECRETS or name in URLS else f"{value!r}: "
        raise StartError(f"bad value of {source}: {shown}{error}") from None


def _without_password(url: str) -> str:
    password = urlsplit(url).password
    if password is not None:
        url = url.replace(f":{password}@", ":***@", 1)
    return _PASSWORD_IN_QUERY.sub(r"\1***", url)
