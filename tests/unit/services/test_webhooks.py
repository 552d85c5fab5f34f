"""chatd.services.webhooks"""

from pathlib import Path

import pytest

from chatd.clock import HandClock
from chatd.errors import ChatError
from chatd.services.webhooks import URL_CHARACTERS, Webhooks
from chatd.stores.webhook_store import Webhook
from chatd.webhook_signature import key_of
from protocol.errors import ErrorCode
from tests.support.builders import NOW_MS, core, principal
from tests.support.running import on_a_loop

ALICE = principal("alice")
URL = "https://push.example.org/chat?for=alice"


@on_a_loop
async def test_a_webhook_is_set_shown_and_taken_away(tmp_path: Path) -> None:
    async with core(tmp_path, "alice") as here:
        webhooks = Webhooks(here.webhooks, HandClock(NOW_MS), [])
        assert await webhooks.get(ALICE) is None
        made = await webhooks.put(ALICE, URL)
        assert made == Webhook(URL, made.secret, NOW_MS)
        assert await webhooks.get(ALICE) == made
        assert await webhooks.get(principal("bob")) is None
        again = await webhooks.put(ALICE, URL)
        assert key_of(again.secret) != key_of(made.secret)
        await webhooks.remove(ALICE)
        await webhooks.remove(ALICE)
        assert await webhooks.get(ALICE) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "HTTPS://example.org:8443/a/b",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]:8443/x",
        "http://10.1.2.3/allowed",
        "https://" + "a" * (URL_CHARACTERS - 8),
    ],
)
@on_a_loop
async def test_what_may_be_called(tmp_path: Path, url: str) -> None:
    async with core(tmp_path, "alice") as here:
        webhooks = Webhooks(here.webhooks, HandClock(NOW_MS), ["10.1.0.0/16"])
        assert (await webhooks.put(ALICE, url)).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "/hook",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://user@example.org/",
        "https://user:password@example.org/",
        "https://example.org/#part",
        "https://example.org:99999/",
        "https://[::1",
        "https://exämple.org/",
        "https://example.org/a b",
        "https://example.org/\r\nX-More: 1",
        "https://" + "a" * (URL_CHARACTERS - 7),
        "http://127.0.0.1/",
        "http://10.2.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:3000/",
        "http://[::ffff:192.168.0.1]/",
        "http://[fe80::1%25eth0]/",
    ],
)
@on_a_loop
async def test_what_may_not(tmp_path: Path, url: str) -> None:
    async with core(tmp_path, "alice") as here:
        webhooks = Webhooks(here.webhooks, HandClock(NOW_MS), ["10.1.0.0/16"])
        with pytest.raises(ChatError, match="`url`") as refused:
            await webhooks.put(ALICE, url)
        assert refused.value.code is ErrorCode.INVALID_FIELD
        assert await webhooks.get(ALICE) is None
