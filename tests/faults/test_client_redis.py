"""chatd.fabric.client_redis and link_redis: what they promise, also when Redis goes and returns."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatd.errors import BackendError
from chatd.fabric import client_redis
from chatd.fabric.bus_redis import RedisBus
from chatd.fabric.client_redis import RedisClient, Script
from chatd.fabric.link_redis import RedisRefused
from chatd.metrics import Metrics
from tests.support.proxy import Proxy
from tests.support.running import on_a_loop, on_a_quick_loop, turns, until
from tests.support.services import service

NOWHERE = "redis://127.0.0.1:1/0"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RedisClient]:
    client = RedisClient(url)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def gone(client: RedisClient) -> None:
    await until(lambda: not client.is_connected)


async def back(client: RedisClient) -> None:
    await until(lambda: client.is_connected)


@on_a_quick_loop
async def test_replies_come_in_the_order_of_commands(redis_url: str) -> None:
    async with connected(redis_url) as client:
        for count in (1, 10, 3_000):
            replies = [client.call("ECHO", f"{n}") for n in range(count)]
            assert await asyncio.gather(*replies) == [b"%d" % n for n in range(count)]


@on_a_loop
async def test_an_error_is_one_commands_alone(redis_url: str) -> None:
    async with connected(redis_url) as client:
        before, wrong, after = (
            client.call("ECHO", "1"),
            client.call("NO-SUCH-COMMAND"),
            client.call("ECHO", "2"),
        )
        with pytest.raises(RedisRefused, match="unknown command") as refused:
            await wrong
        assert refused.value.code == "ERR"
        assert (await before, await after) == (b"1", b"2")
        assert await client.try_call("NO-SUCH-COMMAND") is None


@on_a_loop
async def test_who_gives_up_leaves_the_others_their_replies(redis_url: str) -> None:
    async with connected(redis_url) as client:
        replies = [client.call("ECHO", f"{n}") for n in range(3)]
        replies[1].cancel()
        assert (await replies[0], await replies[2]) == (b"0", b"2")


@on_a_loop
async def test_a_script_is_run_whether_redis_knows_it_or_not(redis_url: str) -> None:
    script = Script(f"return {{ARGV[1], KEYS[1]}} -- {secrets.token_hex(8)}")
    async with connected(redis_url) as client:
        both = await asyncio.gather(*(client.run(script, ["k"], n) for n in range(2)))
        assert both == [[b"0", b"k"], [b"1", b"k"]]
        assert await client.call("EVALSHA", script.sha, 1, "k", "3") == [b"3", b"k"]
        with pytest.raises(RedisRefused, match="WRONG"):
            await client.run(Script("return redis.error_reply('WRONG')"), [])
        assert await client.try_run(Script("return redis.error_reply('WRONG')"), []) is None


@on_a_loop
async def test_redis_tells_of_itself(redis_url: str) -> None:
    async with connected(redis_url) as client:
        assert (await client.info())["redis_mode"] == "standalone"
        assert set(await client.info("keyspace")) <= {f"db{n}" for n in range(16)}


@pytest.mark.slow
@on_a_quick_loop
async def test_no_more_than_so_many_commands_wait(
    redis_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_redis, "WAITING", 100)
    async with connected(redis_proxy.url) as client:
        redis_proxy.stall()
        replies = [client.call("ECHO", "x") for _ in range(60)]
        await turns()
        replies += [client.call("ECHO", "x") for _ in range(40)]
        with pytest.raises(BackendError, match="does not keep up"):
            client.call("ECHO", "x")
        outcomes = await asyncio.gather(*replies, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {BackendError}


@on_a_loop
async def test_no_more_than_so_many_bytes_wait(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_redis, "UNSENT_BYTES", 10_000)
    async with connected(redis_url) as client:
        reply = client.call("ECHO", b"x" * 6_000)
        with pytest.raises(BackendError, match="does not keep up"):
            client.call("ECHO", b"x" * 6_000)
        small = client.call("ECHO", b"x")
        assert (len(await reply), await small) == (6_000, b"x")


@on_a_loop
async def test_while_it_is_gone_calls_fail_at_once(redis_proxy: Proxy) -> None:
    async with connected(redis_proxy.url) as client:
        told: list[None] = []
        client.came_back.append(lambda: told.append(None))
        reply = client.call("BLPOP", "a list that is not there", 0)
        await turns()
        redis_proxy.cut()
        with pytest.raises(BackendError):
            await reply
        assert not client.is_connected
        with pytest.raises(BackendError, match="gone"):
            client.call("PING")
        assert await client.try_call("PING") is None
        assert await client.try_run(Script("return 1"), []) is None
        redis_proxy.heal()
        await back(client)
        assert await client.call("ECHO", "1") == b"1"
        assert told == [None]


@on_a_loop
async def test_what_was_issued_in_the_turn_of_the_loss_fails(redis_proxy: Proxy) -> None:
    async with connected(redis_proxy.url) as client:
        reply = client.call("PING")
        client._link.drop("for the test")
        with pytest.raises(BackendError):
            await reply


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stall", "stall_replies"])
def test_a_stall_fails_what_waits_and_is_survived(redis_proxy: Proxy, way: str) -> None:
    @on_a_loop
    async def main() -> None:
        async with connected(redis_proxy.url) as client:
            getattr(redis_proxy, way)()
            with pytest.raises(BackendError, match="does not answer"):
                await client.call("PING")
            accepted = redis_proxy.accepted
            # It is tried again and again, and each attempt stalls.
            await until(lambda: redis_proxy.accepted >= accepted + 2)
            assert not client.is_connected
            redis_proxy.heal()
            await back(client)
            assert await client.call("ECHO", "1") == b"1"

    main()


@pytest.mark.slow
@on_a_loop
async def test_an_idle_connection_that_stalls_is_noticed(redis_proxy: Proxy) -> None:
    async with connected(redis_proxy.url) as client:
        redis_proxy.stall()
        await gone(client)
        redis_proxy.heal()
        await back(client)


@pytest.mark.slow
@on_a_quick_loop
async def test_a_loop_that_had_no_time_does_not_blame_redis(redis_proxy: Proxy) -> None:
    async with connected(redis_proxy.url) as client:
        for _ in range(3):
            reply = client.call("ECHO", "1")
            await turns()
            time.sleep(0.6)  # noqa: ASYNC251 - it is to block the loop
            assert await reply == b"1"
        assert client.is_connected
        assert redis_proxy.accepted == 1


@pytest.mark.slow
@on_a_loop
async def test_it_can_be_closed_while_redis_stalls(redis_proxy: Proxy) -> None:
    async with connected(redis_proxy.url) as client:
        redis_proxy.stall()
        reply = client.call("PING")
    with pytest.raises(BackendError):
        await reply


async def start_error(url: str) -> tuple[str, str]:
    """What a client and a bus say when they cannot be started."""
    said = []
    for make in (lambda: RedisClient(url), lambda: RedisBus(url, Metrics())):
        with pytest.raises(BackendError) as error:
            await make().start()
        said.append(str(error.value))
    return said[0], said[1]


@on_a_loop
async def test_a_redis_that_is_not_there_is_named() -> None:
    for text in await start_error(NOWHERE):
        assert "127.0.0.1:1" in text and "refused" in text


@pytest.mark.slow
@on_a_loop
async def test_a_redis_that_does_not_answer_is_named(redis_proxy: Proxy) -> None:
    redis_proxy.stall()
    for text in await start_error(redis_proxy.url):
        assert f"127.0.0.1:{redis_proxy.port}" in text and "no answer" in text


@pytest.mark.slow
@on_a_loop
async def test_a_wrong_password_is_named_and_not_told() -> None:
    url = service("redis-tls")["CHATD_REDIS_URL"]
    secret = url.partition("@")[0].rpartition(":")[2]
    wrong = url.replace(secret, "not-the-password")
    for text in await start_error(wrong):
        assert "user default" in text and "127.0.0.1:" in text and "WRONGPASS" in text
        assert "not-the-password" not in text
    for text in await start_error(url.replace(f":{secret}@", "")):
        assert "NOAUTH" in text
    for text in await start_error(url.replace(f":{secret}@", f"nobody:{secret}@")):
        assert "user nobody" in text and "WRONGPASS" in text and secret not in text


@on_a_loop
async def test_a_database_that_is_not_there_is_named(redis_url: str) -> None:
    for text in await start_error(redis_url.rpartition("/")[0] + "/4711"):
        assert "database 4711" in text and "out of range" in text


@on_a_loop
async def test_a_certificate_that_nobody_signed_is_refused() -> None:
    url = service("redis-tls")["CHATD_REDIS_URL"].partition("?")[0]
    for text in await start_error(url):
        assert "CERTIFICATE_VERIFY_FAILED" in text


@pytest.mark.slow
@on_a_loop
async def test_tls_where_there_is_none_is_refused(redis_proxy: Proxy) -> None:
    for text in await start_error(redis_proxy.url.replace("redis://", "rediss://")):
        assert "127.0.0.1:" in text


@on_a_loop
async def test_no_tls_where_there_is_some_is_refused() -> None:
    url = service("redis-tls")["CHATD_REDIS_URL"].partition("?")[0]
    for text in await start_error(url.replace("rediss://", "redis://")):
        assert "127.0.0.1:" in text


def test_what_is_no_url_of_redis_is_refused() -> None:
    for url in ("http://:secret@127.0.0.1", "redis://:secret@h?no_such_option=1"):
        for make in (RedisClient, lambda url: RedisBus(url, Metrics())):
            with pytest.raises(BackendError, match="URL of Redis") as error:
                make(url)
            assert "secret" not in str(error.value)


@on_a_loop
async def test_a_user_who_may_not_subscribe_is_named(redis_url: str) -> None:
    user, password = f"test-{secrets.token_hex(4)}", secrets.token_hex(8)
    url = redis_url.replace("redis://", f"redis://{user}:{password}@")
    async with connected(redis_url) as client:
        await client.call("ACL", "SETUSER", user, "on", f">{password}", "~*", "+@all")
        try:
            async with connected(url) as allowed:
                assert await allowed.call("ACL", "WHOAMI") == user.encode()
            with pytest.raises(BackendError, match=f"user {user}.*NOPERM"):
                await RedisBus(url, Metrics()).start()
        finally:
            await client.call("ACL", "DELUSER", user)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The URL of something that answers everything so, and then closes."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    try:
        yield f"redis://:the-password@127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "it closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak as Redis does"),
        (b"%0\r\n+OK\r\n-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
        (b"%0\r\n+OK\r\n+PONG\r\n", "closed"),
        (b"-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' "
         b"'the-password'\r\n-NOAUTH\r\n-NOAUTH\r\n", r"unknown command 'HELLO'.*'\*\*\*'"),
    ],
    ids=["nothing", "no Redis", "loading", "closing", "too old"],
)  # fmt: skip
def test_what_does_not_let_chatd_in_is_named(answer: bytes, words: str) -> None:
    @on_a_loop
    async def main() -> None:
        async with answering(answer) as url:
            with pytest.raises(BackendError, match=words) as error:
                await RedisBus(url, Metrics()).start()
            assert "the-password" not in str(error.value)

    main()
