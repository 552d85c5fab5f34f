"""chatd.config"""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from chatd.config import Config, describe, descriptions, load
from chatd.config_rules import check_secret
from chatd.errors import StartError
from chatd.services.accounts import Registration

SECRET: Final = "0123456789abcdef0123456789abcdef"
KEY: Final = "k1:" + base64.b64encode(bytes(range(32))).decode()
WEBHOOK_SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_KEY: Final = "k0:" + base64.b64encode(bytes(range(1, 33))).decode()
BACKENDS: Final[dict[str, str]] = {
    "CHATD_DATABASE_URL": "postgresql://chatd:pw@db/chatd",
    "CHATD_CASSANDRA_HOSTS": "c1:9042,c2:9042",
    "CHATD_REDIS_URL": "redis://:pw@redis:6379/0",
    "CHATD_JWT_SECRET": SECRET,
}

# The settings of the outside contract: as text, as TOML, and what comes of either.
SETTINGS: Final[list[tuple[str, str, str, Any]]] = [
    ("host", "0.0.0.0", '"0.0.0.0"', "0.0.0.0"),
    ("http_port", "8080", "8080", 8080),
    ("chat_port", "0", "0", 0),
    ("presence_port", "65535", "65535", 65_535),
    ("own_http_port", "3801", "3801", 3801),
    ("data_dir", "/srv/chatd", '"/srv/chatd"', "/srv/chatd"),
    ("database_url", "postgres://db/x", '"postgres://db/x"', "postgres://db/x"),
    ("cassandra_hosts", "a:1, b:2", '["a:1", "b:2"]', ["a:1", "b:2"]),
    ("cassandra_keyspace", "talk", '"talk"', "talk"),
    ("cassandra_replication", "{'class': 'x'}", "\"{'class': 'x'}\"", "{'class': 'x'}"),
    ("cassandra_username", "talker", '"talker"', "talker"),
    ("cassandra_password", "hush", '"hush"', "hush"),
    ("cassandra_tls_ca", "/etc/ca.pem", '"/etc/ca.pem"', "/etc/ca.pem"),
    ("redis_url", "rediss://r", '"rediss://r"', "rediss://r"),
    ("queue_redis_url", "redis://q/1", '"redis://q/1"', "redis://q/1"),
    ("kafka_brokers", "k1:9092,k2:9092", '["k1:9092", "k2:9092"]', ["k1:9092", "k2:9092"]),
    ("jwt_secret", SECRET, f'"{SECRET}"', SECRET),
    ("encryption_keys", f"{KEY},{OLD_KEY}", f'["{KEY}", "{OLD_KEY}"]', [KEY, OLD_KEY]),
    ("allowed_origins", "https://a.org", '["https://a.org"]', ["https://a.org"]),
    ("public_chat_url", "wss://a.org/c", '"wss://a.org/c"', "wss://a.org/c"),
    ("public_presence_url", "ws://a.org", '"ws://a.org"', "ws://a.org"),
    ("registration", "invite", '"invite"', Registration.INVITE),
    ("drain_seconds", "2.5", "2.5", 2.5),
    ("bcrypt_cost", "4", "4", 4),
    ("rate_limits", "off", '"off"', "off"),
    ("metrics_allow", "10.0.0.0/8,::1", '["10.0.0.0/8", "::1"]', ["10.0.0.0/8", "::1"]),
    ("webhook_url", "https://push.a.org/x", '"https://push.a.org/x"', "https://push.a.org/x"),
    ("webhook_secret", WEBHOOK_SECRET, f'"{WEBHOOK_SECRET}"', WEBHOOK_SECRET),
    ("webhook_allow", "10.0.0.0/8,::1", '["10.0.0.0/8", "::1"]', ["10.0.0.0/8", "::1"]),
    ("webhook_pause_seconds", "0", "0", 0),
]
# What else must be set for one of the three backends to be accepted.
OTHERS: Final = {name.removeprefix("CHATD_").lower(): value for name, value in BACKENDS.items()}


def toml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "chatd.toml"
    file.write_text(text)
    return file


def environment(name: str) -> dict[str, str]:
    """What must be set beside the setting `name`."""
    if name == "webhook_url":
        return {"CHATD_WEBHOOK_SECRET": WEBHOOK_SECRET}
    return (
        {key: value for key, value in BACKENDS.items() if key != f"CHATD_{name.upper()}"}
        if name in OTHERS
        else {}
    )


def refusal(
    values: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    flags: Mapping[str, str] | None = None,
) -> str:
    with pytest.raises(StartError) as refused:
        load(file, values or {}, flags or {})
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_table_is_whole() -> None:
    assert [row[0] for row in SETTINGS] == [field.name for field in msgspec.structs.fields(Config)]


def test_without_sources_the_defaults_hold() -> None:
    settings = load(None, {}, {})
    assert settings == Config()
    assert settings.is_embedded
    assert (settings.host, settings.http_port) == ("127.0.0.1", 3000)
    assert (settings.chat_port, settings.presence_port) == (4000, 4001)
    assert settings.data_dir == "./chatd-data"
    assert settings.registration is Registration.OPEN
    assert (settings.drain_seconds, settings.bcrypt_cost, settings.rate_limits) == (10.0, 12, "on")


@pytest.mark.parametrize(("name", "text", "in_toml", "value"), SETTINGS, ids=lambda x: str(x)[:20])
def test_every_setting_is_accepted_from_every_source(
    tmp_path: Path, name: str, text: str, in_toml: str, value: Any
) -> None:
    others = environment(name)
    file = toml(tmp_path, f"{name} = {in_toml}")
    assert getattr(load(file, others, {}), name) == value
    assert getattr(load(None, others | {f"CHATD_{name.upper()}": text}, {}), name) == value
    assert getattr(load(None, others, {name: text}), name) == value


def test_flags_are_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, 'host = "file"\nhttp_port = 1\nchat_port = 1\n')
    values = {"CHATD_HTTP_PORT": "2", "CHATD_CHAT_PORT": "2", "PATH": "/bin"}
    settings = load(file, values, {"chat_port": "3"})
    assert (settings.host, settings.http_port, settings.chat_port) == ("file", 1 + 1, 3)
    assert settings.presence_port == 4001


def test_unknown_settings_of_the_file_are_refused_by_name(tmp_path: Path) -> None:
    file = toml(tmp_path, "chat_prot = 4000")
    assert "chat_prot" in refusal(file=file) and str(file) in refusal(file=file)


@pytest.mark.parametrize("name", ["CHATD_CHAT_PROT", "CHATD_"])
def test_unknown_settings_of_the_environment_are_refused_by_name(name: str) -> None:
    assert name in refusal({name: "4000"})


def test_unknown_flags_are_refused_by_name() -> None:
    assert "--chat-prot" in refusal(flags={"chat_prot": "4000"})


def test_other_variables_of_the_environment_are_left_alone() -> None:
    assert load(None, {"PATH": "/bin", "CHAT_PORT": "x", "chatd_x": "y"}, {}) == Config()


def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert str(missing) in refusal(file=missing)
    assert "not TOML" in refusal(file=toml(tmp_path, "host = "))
    (tmp_path / "latin.toml").write_bytes('host = "é"'.encode("latin-1"))
    assert "not TOML" in refusal(file=tmp_path / "latin.toml")
    assert "cannot read" in refusal(file=tmp_path)


def test_a_table_of_the_file_is_refused(tmp_path: Path) -> None:
    assert "server" in refusal(file=toml(tmp_path, "[server]\nhost = 'x'"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("http_port", "65536"),
        ("http_port", "-1"),
        ("chat_port", "http"),
        ("chat_port", ""),
        ("database_url", "mysql://db"),
        ("cassandra_hosts", "localhost"),
        ("cassandra_hosts", "localhost:cql"),
        ("redis_url", "http://r"),
        ("redis_url", "redis://"),
        ("queue_redis_url", "redis://q:port"),
        ("kafka_brokers", "k1"),
        ("encryption_keys", "k1"),
        ("encryption_keys", "k1:AAAA"),
        ("encryption_keys", ":" + KEY[3:]),
        ("encryption_keys", "k1:" + KEY[3:-1] + "!"),
        ("allowed_origins", "a.org"),
        ("allowed_origins", "https://a.org/"),
        ("public_chat_url", "https://a.org"),
        ("public_presence_url", "wss://"),
        ("registration", "maybe"),
        ("drain_seconds", "-1"),
        ("drain_seconds", "601"),
        ("drain_seconds", "soon"),
        ("bcrypt_cost", "3"),
        ("bcrypt_cost", "17"),
        ("bcrypt_cost", "4.5"),
        ("rate_limits", "no"),
        ("metrics_allow", "10.0.0.1/8"),
        ("metrics_allow", "localhost"),
        ("webhook_url", "ftp://a.org"),
        ("webhook_secret", "secret"),
        ("webhook_secret", "whsec_AAAA"),
        ("webhook_allow", "10.0.0.1/8"),
        ("webhook_pause_seconds", "-1"),
        ("webhook_pause_seconds", "0.5"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, text: str) -> None:
    variable = f"CHATD_{name.upper()}"
    assert variable in refusal(environment(name) | {variable: text})


def test_a_webhook_needs_a_secret() -> None:
    refused = refusal({"CHATD_WEBHOOK_URL": "https://push.a.org"})
    assert "CHATD_WEBHOOK_SECRET" in refused and "openssl" in refused


@pytest.mark.parametrize("missing", ["DATABASE_URL", "CASSANDRA_HOSTS", "REDIS_URL"])
def test_the_backends_go_together(missing: str) -> None:
    assert not load(None, BACKENDS, {}).is_embedded
    without = {key: value for key, value in BACKENDS.items() if key != f"CHATD_{missing}"}
    assert f"CHATD_{missing}" in refusal(without)
    alone = {f"CHATD_{missing}": BACKENDS[f"CHATD_{missing}"]}
    others = BACKENDS.keys() - {f"CHATD_{missing}", "CHATD_JWT_SECRET"}
    assert all(name in refusal(alone) for name in others)


def test_real_backends_need_a_secret() -> None:
    without = {key: value for key, value in BACKENDS.items() if key != "CHATD_JWT_SECRET"}
    assert "CHATD_JWT_SECRET" in refusal(without)


@pytest.mark.parametrize("secret", ["x", SECRET[:-1], "a" * 64, "ab" * 40])
def test_a_secret_that_can_be_guessed_is_refused(secret: str) -> None:
    message = refusal({"CHATD_JWT_SECRET": secret})
    assert message.startswith("CHATD_JWT_SECRET is too ")
    assert secret == "x" or secret not in message
    with pytest.raises(StartError, match="^here is too"):
        check_secret(secret, "here")


def test_a_secret_of_32_bytes_is_good() -> None:
    check_secret(SECRET, "here")
    check_secret("é" * 14 + "abcd", "here")


# Secrets.


def test_secrets_and_passwords_are_masked() -> None:
    values = BACKENDS | {
        "CHATD_ENCRYPTION_KEYS": KEY,
        "CHATD_QUEUE_REDIS_URL": "redis://user:topsecret@q",
        "CHATD_DATABASE_URL": "postgresql://chatd:topsecret@db:5432/chatd",
    }
    shown = describe(load(None, values, {}))
    assert shown["jwt_secret"] == shown["encryption_keys"] == "(set)"
    assert shown["database_url"] == "postgresql://chatd:***@db:5432/chatd"
    assert shown["redis_url"] == "redis://:***@redis:6379/0"
    assert shown["queue_redis_url"] == "redis://user:***@q"
    text = str(shown)
    assert "topsecret" not in text and SECRET not in text and KEY not in text
    assert shown["host"] == "127.0.0.1"


def test_what_is_not_set_is_shown_as_such() -> None:
    shown = describe(Config())
    assert (shown["jwt_secret"], shown["encryption_keys"], shown["redis_url"]) == ("", [], "")
    assert shown.keys() == descriptions().keys()


def test_a_password_in_the_query_is_masked() -> None:
    values = BACKENDS | {"CHATD_DATABASE_URL": "postgresql://db/chatd?password=topsecret"}
    assert "topsecret" not in str(describe(load(None, values, {})))


@pytest.mark.parametrize(
    "values",
    [
        {"CHATD_JWT_SECRET": "topsecret"},
        {"CHATD_ENCRYPTION_KEYS": "topsecret"},
        {"CHATD_ENCRYPTION_KEYS": "k1:topsecret"},
        {"CHATD_DATABASE_URL": "topsecret"},
        {"CHATD_DATABASE_URL": "mysql://chatd:topsecret@db/chatd"},
        {"CHATD_REDIS_URL": "redis//:topsecret@redis"},
        {"CHATD_QUEUE_REDIS_URL": "redis://:topsecret@redis:port"},
    ],
    ids=str,
)
def test_errors_hold_no_secret(tmp_path: Path, values: dict[str, str]) -> None:
    assert "topsecret" not in refusal(BACKENDS | values)
    flags = {name.removeprefix("CHATD_").lower(): value for name, value in values.items()}
    assert "topsecret" not in refusal(BACKENDS, flags=flags)
    for name, value in flags.items():
        assert "topsecret" not in refusal(file=toml(tmp_path, f'{name} = {{x = "{value}"}}'))


def test_every_setting_says_what_it_means() -> None:
    for name, meaning in descriptions().items():
        assert re.fullmatch(r"[A-Za-z].{8,}[^. ]", meaning), name
