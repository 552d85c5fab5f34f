"""Services that are lost and come back: a proxy before each, and less patience than in earnest."""

from collections.abc import Iterator

import pytest

from chatd.fabric import link_redis
from tests.support.proxy import Proxy
from tests.support.redis_database import own_database
from tests.support.services import service


@pytest.fixture
def redis_url() -> str:
    """The URL of a database of its own; what it holds is of earlier tests."""
    return own_database(service("redis")["CHATD_REDIS_URL"])


@pytest.fixture
def redis_proxy(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before that database, which chatd gives up after 0.4 s of silence."""
    monkeypatch.setattr(link_redis, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(link_redis, "CONNECT_SECONDS", 0.5)
    with Proxy.before(redis_url) as proxy:
        yield proxy
