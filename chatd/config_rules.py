"""What settings must be beside their types, alone and together."""

import base64
import binascii
import ipaddress
import math
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from chatd import webhook_signature
from chatd.errors import StartError

if TYPE_CHECKING:
    from chatd.config import Config

JWT_SECRET_BYTES: Final = 32
PORT_MAX: Final = 65_535
_ENCRYPTION_KEY_BYTES: Final = 32


def check(config: "Config") -> None:
    """Look at what the type of a setting does not say.

    Raises:
        StartError: one line that names a setting and what is wrong with it.
    """
    backends = {
        "CHATD_DATABASE_URL": bool(config.database_url),
        "CHATD_CASSANDRA_HOSTS": bool(config.cassandra_hosts),
        "CHATD_REDIS_URL": bool(config.redis_url),
    }
    if any(backends.values()) and not all(backends.values()):
        missing = ", ".join(name for name, is_set in backends.items() if not is_set)
        raise StartError(f"the backends go together, all three or none: set {missing} too")
    _check_url("CHATD_DATABASE_URL", config.database_url, {"postgresql", "postgres"})
    _check_url("CHATD_REDIS_URL", config.redis_url, {"redis", "rediss"})
    _check_url("CHATD_QUEUE_REDIS_URL", config.queue_redis_url, {"redis", "rediss"})
    _check_url("CHATD_PUBLIC_CHAT_URL", config.public_chat_url, {"ws", "wss"})
    _check_url("CHATD_PUBLIC_PRESENCE_URL", config.public_presence_url, {"ws", "wss"})
    for name, endpoints in (
        ("CHATD_CASSANDRA_HOSTS", config.cassandra_hosts),
        ("CHATD_KAFKA_BROKERS", config.kafka_brokers),
    ):
        for endpoint in endpoints:
            host, _, port = endpoint.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) <= PORT_MAX:
                raise StartError(f"bad value of {name}: {endpoint!r} is not host:port")
    if not math.isfinite(config.drain_seconds):
        raise StartError("bad value of CHATD_DRAIN_SECONDS: it must be a number of seconds")
    for origin in config.allowed_origins:
        if urlsplit(origin).scheme not in {"http", "https"} or origin.endswith("/"):
            raise StartError(
                "bad value of CHATD_ALLOWED_ORIGINS:"
                f" {origin!r} is not like https://chat.example.org"
            )
    for name, networks in (
        ("CHATD_METRICS_ALLOW", config.metrics_allow),
        ("CHATD_WEBHOOK_ALLOW", config.webhook_allow),
    ):
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise StartError(
                    f"bad value of {name}: {network!r} is not an address or network"
                ) from None
    _check_webhook(config)
    _check_secrets(config)


def _check_webhook(config: "Config") -> None:
    _check_url("CHATD_WEBHOOK_URL", config.webhook_url, {"http", "https"})
    if config.webhook_url or config.webhook_secret:
        try:
            webhook_signature.key_of(config.webhook_secret)
        except ValueError as error:
            raise StartError(
                f"bad value of CHATD_WEBHOOK_SECRET: {error};"
                ' try `echo "whsec_$(openssl rand -base64 32)"`'
            ) from None


def _check_secrets(config: "Config") -> None:
    if config.jwt_secret:
        check_secret(config.jwt_secret, "CHATD_JWT_SECRET")
    elif not config.is_embedded:
        raise StartError(
            "CHATD_JWT_SECRET is required with real backends:"
            " set the output of `openssl rand -hex 32`"
        )
    for key in config.encryption_keys:
        key_id, colon, text = key.partition(":")
        try:
            size = len(base64.b64decode(text, validate=True))
        except binascii.Error:
            size = -1
        if not key_id or not colon or size != _ENCRYPTION_KEY_BYTES:
            raise StartError(
                "bad value of CHATD_ENCRYPTION_KEYS: each key is id:base64 of 32 bytes,"
                " like k1:$(openssl rand -base64 32)"
            )


def check_secret(secret: str, source: str) -> None:
    """Raises StartError for a secret that can be guessed."""
    raw = secret.encode()
    if len(raw) < JWT_SECRET_BYTES:
        raise StartError(
            f"{source} is too short: {len(raw)} bytes, at least {JWT_SECRET_BYTES};"
            " try `openssl rand -hex 32`"
        )
    if len(set(raw)) < 4:
        raise StartError(
            f"{source} is too simple: its bytes are nearly all alike; try `openssl rand -hex 32`"
        )


def _check_url(name: str, url: str, schemes: set[str]) -> None:
    if url:
        try:
            parts = urlsplit(url)
            good = parts.scheme in schemes and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            good = False
        if not good:
            raise StartError(
                f"bad value of {name}: it must begin with {' or '.join(sorted(schemes))}:// and"
                " name a host"
            )
