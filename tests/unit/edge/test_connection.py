"""chatd.edge.connection: what a connection confirms as delivered, and what it answers."""

import json
from pathlib import Path

import pytest

from chatd.edge import frame_limits
from chatd.services.presence import PING_SECONDS, PONG_SECONDS
from protocol.close import CloseCode
from tests.edge.raw import CLOSE, PING, PONG, TEXT, RawClient, close, frame
from tests.support.builders import direct
from tests.support.house import CHAT, hear, house, say
from tests.support.running import on_a_loop, until

BURST = 40


@on_a_loop
async def test_a_pong_confirms_what_came_before_its_ping(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        await home.deliver(bob, "1", "2")
        home.pass_seconds(PING_SECONDS)
        assert (await bob.frame()).opcode == PING
        await home.deliver(bob, "after the ping")
        assert home.here.receipts.known(CHAT, "bob", 0) == 0
        await bob.send(frame(PONG))
        await until(lambda: home.here.receipts.known(CHAT, "bob", 0) == 2)


@on_a_loop
async def test_a_clean_close_confirms_everything(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2", "3")
            await bob.send(close())
            assert await bob.close_code() == 1000
        assert await home.delivered() == 3


@on_a_loop
async def test_a_cut_confirms_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2")
        assert await home.delivered() == 0


@on_a_loop
async def test_a_cut_after_a_ping_without_its_pong_confirms_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2")
            home.pass_seconds(PING_SECONDS)
            assert (await bob.frame()).opcode == PING
        assert await home.delivered() == 0


@on_a_loop
async def test_a_cut_keeps_what_an_earlier_pong_confirmed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2")
            home.pass_seconds(PING_SECONDS)
            assert (await bob.frame()).opcode == PING
            await bob.send(frame(PONG))
            await until(lambda: home.here.receipts.known(CHAT, "bob", 0) == 2)
            await home.deliver(bob, "3")
        assert await home.delivered() == 2


@on_a_loop
async def test_without_a_pong_in_time_the_connection_is_closed(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        home.pass_seconds(PING_SECONDS + PONG_SECONDS)
        assert (await bob.frame()).opcode == PING
        answer = await bob.frame()
        assert (answer.opcode, answer.code) == (CLOSE, CloseCode.INTERNAL_ERROR)
        assert home.here.metrics.keepalive_timeouts == 1


@on_a_loop
async def test_a_pong_in_time_keeps_the_connection(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        for _ in range(3):
            home.pass_seconds(PING_SECONDS - PONG_SECONDS)
            home.pass_seconds(PONG_SECONDS)
            assert (await bob.frame()).opcode == PING
            await bob.send(frame(PONG))
            # An answer shows that the pong was read.
            await say(bob, type="PING", ref="r")
            assert json.loads(await bob.text()) == {"type": "PONG", "ref": "r"}
        assert home.here.metrics.keepalive_timeouts == 0


@on_a_loop
async def test_a_pong_that_nobody_asked_for_confirms_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        await home.deliver(bob, "1")
        await bob.send(frame(PONG))
        await say(bob, type="PING")
        assert json.loads(await bob.text())["type"] == "PONG"
        assert home.here.receipts.known(CHAT, "bob", 0) == 0


@on_a_loop
async def test_posts_are_answered_in_their_order(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        for n in range(40):
            await say(bob, type="ONE_TO_ONE_CHAT", to="alice", content=f"{n}", ref=f"{n}")
        replies = [json.loads(await bob.text()) for _ in range(40)]
        assert [(reply["ref"], reply["seq"]) for reply in replies] == [
            (f"{n}", n + 1) for n in range(40)
        ]


@on_a_loop
async def test_other_requests_are_answered_one_after_the_other(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        await say(bob, type="ONE_TO_ONE_CHAT", to="alice", content="1", ref="post")
        for n in range(5):
            await say(bob, type="INIT_DATA", ref=f"{n}")
        refs = [json.loads(await bob.text())["ref"] for _ in range(6)]
        assert [ref for ref in refs if ref != "post"] == [f"{n}" for n in range(5)]


@on_a_loop
async def test_what_cannot_be_decoded_is_answered_and_ten_in_a_row_end_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        for _ in range(9):
            await bob.send(frame(TEXT, b"{"))
            assert json.loads(await bob.text())["code"] == "MALFORMED_FRAME"
        await say(bob, type="PING")
        await bob.text()
        for _ in range(10):
            await say(bob, type="NO_SUCH_THING", ref="r")
            answer = json.loads(await bob.text())
            assert (answer["code"], answer["ref"]) == ("UNKNOWN_TYPE", "r")
        assert (await bob.frame()).code == CloseCode.PROTOCOL_ABUSE


@on_a_loop
async def test_a_token_that_ends_closes_the_connection(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        now_ms = home.here.clock.now_ms()
        token = home.here.tokens.sign("bob", "device", now_ms, lifetime=PING_SECONDS + 5)
        async with await RawClient.connect(home.port) as bob:
            await bob.open(f"/?authToken={token}")
            await bob.text()
            await say(bob, type="PING")
            await bob.text()
            home.here.clock.advance(PING_SECONDS + 5)
            home.pass_seconds(PING_SECONDS)
            assert (await bob.frame()).opcode == PING
            assert (await bob.frame()).code == CloseCode.TOKEN_EXPIRED


@on_a_loop
async def test_who_answers_neither_ping_nor_close_is_offline_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        home.pass_seconds(PING_SECONDS)
        assert (await bob.frame()).opcode == PING
        assert await home.here.leases.online(["bob"])
        home.pass_seconds(PONG_SECONDS)
        assert (await bob.frame()).opcode == CLOSE
        # The close frame has arrived; the socket still waits for the answer that will not come.
        assert not await home.here.leases.online(["bob"])
        assert home.here.metrics.connections == 1


@on_a_loop
async def test_once_a_client_acks_only_its_acks_count(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2", "3")
            await say(bob, type="ACK", chatId=CHAT, seq=1, ref="a")
            assert await hear(bob) == {"type": "SUCCESS", "ref": "a"}
            home.pass_seconds(PING_SECONDS)
            assert (await bob.frame()).opcode == PING
            await bob.send(frame(PONG), close())
            assert await bob.close_code() == 1000
        assert await home.delivered() == 0, "nothing waits to be stored"
        membership = await home.here.store.membership(CHAT, "bob")
        assert membership is not None and (membership.delivered, membership.read) == (1, 0)


@on_a_loop
async def test_a_cursor_is_answered_only_if_that_was_asked_for(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        await home.deliver(bob, "1", "2", "3")
        await say(bob, type="ACK", chatId=CHAT, seq=2)
        await say(bob, type="MARK_READ", chatId=CHAT, seq=1, ref="r")
        await say(bob, type="MARK_READ", chatId=CHAT, seq=1)
        await say(bob, type="ACK", chatId=CHAT, seq=9)
        await say(bob, type="ACK", groupId="7", seq=1, ref="g")
        await say(bob, type="ACK", seq=1, ref="n")
        answers = [await hear(bob) for _ in range(4)]
        # What cannot be asked at all is refused at once, the rest after its commit.
        by_ref = {answer.get("ref"): answer for answer in answers}
        assert by_ref["r"] == {"type": "SUCCESS", "ref": "r"}
        assert by_ref[None]["code"] == by_ref["n"]["code"] == "INVALID_FIELD"
        assert by_ref["g"]["code"] == "NOT_A_MEMBER"
        membership = await home.here.store.membership(CHAT, "bob")
        assert membership is not None and (membership.delivered, membership.read) == (2, 1)


@on_a_loop
async def test_a_client_that_resumes_is_sent_what_it_asks_for(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.here.submit(*(direct("alice", "bob", f"{n}") for n in range(1, 4)))
        async with home.visit("bob", "/?resume=1") as bob:
            await home.here.submit(direct("alice", "bob", "4"))
            await say(bob, type="PING")
            assert (await hear(bob))["type"] == "PONG", "nothing comes before the RESUME"
            await say(bob, type="RESUME", positions={CHAT: 1, "nowhere": 5}, ref="r")
            frames = [await hear(bob) for _ in range(4)]
            assert [one.get("seq") for one in frames] == [2, 3, 4, None]
            assert frames[-1] == {
                "type": "SUCCESS",
                "ref": "r",
                "errors": {"nowhere": "NOT_A_MEMBER"},
            }
            await home.deliver(bob, "5")


@on_a_loop
async def test_other_requests_are_answered_beside_a_resume(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.here.submit(*(direct("alice", "bob", f"{n}") for n in range(1, 4)))
        async with home.visit("bob", "/?resume=1") as bob:
            # The page of the RESUME waits for its turn; PING does not.
            for _ in range(64):
                await home.here.pages._turns.acquire()
            await say(bob, type="RESUME", positions={CHAT: 0}, ref="r")
            await say(bob, type="PING", ref="p")
            assert await hear(bob) == {"type": "PONG", "ref": "p"}
            for _ in range(64):
                home.here.pages._turns.release()
            assert [(await hear(bob)).get("seq") for _ in range(4)] == [1, 2, 3, None]


@pytest.fixture
def no_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a small bucket has is all that there is."""
    monkeypatch.setattr(frame_limits, "CONNECTION_BURST", float(BURST))
    monkeypatch.setattr(frame_limits, "CONNECTION_RATE", 1e-6)


@pytest.mark.usefixtures("no_refill")
@on_a_loop
async def test_who_sends_too_fast_is_refused_and_then_closed(tmp_path: Path) -> None:
    async with house(tmp_path, has_limits=True) as home, home.visit("bob") as bob:
        await bob.send(frame(TEXT, b'{"type":"PING","ref":"r"}') * (2 * BURST + 10))
        # One frame was needed to get here.
        for _ in range(BURST - 1):
            assert await hear(bob) == {"type": "PONG", "ref": "r"}
        refused: list[bytes] = []
        while (came := await bob.frame()).opcode == TEXT:
            refused.append(came.payload)
            answer = json.loads(came.payload)
            assert (answer["code"], answer["ref"]) == ("RATE_LIMITED", "r")
            assert answer["temporary"] and answer["retryAfterMs"] > 0
        assert came.code == CloseCode.FLOODING
        assert BURST <= len(refused) <= BURST + 1, "a debt as large as the bucket"
        assert home.here.metrics.rate_limited == len(refused)
        assert home.here.metrics.floods == 1


@pytest.mark.usefixtures("no_refill")
@on_a_loop
async def test_what_cannot_be_decoded_costs_too(tmp_path: Path) -> None:
    async with house(tmp_path, has_limits=True) as home, home.visit("bob") as bob:
        ping, nonsense = frame(TEXT, b'{"type":"PING","ref":"r"}'), frame(TEXT, b"{")
        await bob.send((ping + nonsense) * (BURST // 2 + 20))
        answers = [await hear(bob) for _ in range(BURST + 40)]
        malformed = [answer["code"] for answer in answers if "ref" not in answer]
        assert malformed.count("MALFORMED_FRAME") == BURST // 2 - 1
        assert set(malformed[BURST // 2 :]) == {"RATE_LIMITED"}


@pytest.mark.usefixtures("no_refill")
@on_a_loop
async def test_cursors_and_typing_cost_little(tmp_path: Path) -> None:
    async with house(tmp_path, has_limits=True) as home, home.visit("bob") as bob:
        await home.deliver(bob, "1")
        for _ in range(BURST):
            await say(bob, type="ACK", chatId=CHAT, seq=1)
            await say(bob, type="TYPING", chatId=CHAT, isTyping=True)
        await say(bob, type="PING")
        assert await hear(bob) == {"type": "PONG"}
        assert home.here.metrics.rate_limited == 0
