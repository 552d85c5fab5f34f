"""The client that stays connected, against a server that does what the test says."""

import asyncio

import pytest

from protocol import requests
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.model import PresenceStatus
from protocol.pushes import (
    DeliveryReceipt,
    Error,
    GroupMemberJoined,
    GroupMemberLeft,
    GroupUpdated,
    MessageEdited,
    OneToOneChat,
    PresenceUpdate,
    Resync,
    ServerFrame,
    Success,
    Typing,
)
from testclients.connection_state import Phase
from testclients.credentials import Credentials
from testclients.errors import (
    CannotConnect,
    ConnectionLost,
    HttpFailed,
    NotConnected,
    OutcomeUnknown,
    RequestFailed,
)
from testclients.events import Where
from testclients.http import Login, User
from testclients.mending import GAP_SECONDS
from testclients.notices import Gone, LogRenewed, Rewound
from testclients.order import MAX_WAITING
from testclients.outbox import EntryState
from tests.support.running import on_a_loop
from tests.unit.testclients.scripted import (
    ALICE,
    CHAT,
    chat,
    group,
    message,
    rewound,
)
from tests.unit.testclients.scripted_http import ApiServer
from tests.unit.testclients.stage import client_is_through, seqs, stage, take

HERE = Where(chat_id=CHAT)
MARK = PresenceUpdate(username="bob", status=PresenceStatus.ONLINE, last_seen=None)
"""No event: when it was taken, what was sent before has come."""


def ack_of(post: requests.OneToOneChat, seq: int, *, duplicate: bool = False) -> Success:
    return Success(
        id=f"m{seq}",
        seq=seq,
        prev=seq - 1,
        chat_id=CHAT,
        sent_at=seq,
        client_msg_id=post.client_msg_id,
        duplicate=duplicate,
    )


@on_a_loop
async def test_a_first_connect_begins_where_the_user_s_devices_are() -> None:
    async with stage() as at, at.client() as client:
        peer = await at.server.accept()
        assert peer.asks_to_resume
        positions = await peer.catch_up(
            message(5), message(6), chats=[chat(delivered=4, last=6)], groups=[group(delivered=9)]
        )
        assert positions == {CHAT: 4, "g": 9}
        assert seqs(await take(client, 2)) == [5, 6]
        await client.online()
        assert client.user == ALICE


@on_a_loop
async def test_a_reconnect_resumes_what_is_known_and_learns_what_began_meanwhile() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(1), message(2))
        await take(client, 2)
        peer.cut()
        peer = await at.accept_again()
        assert peer.asks_to_resume
        new = "alice-carol"
        positions = await peer.catch_up(
            message(3, offline=True),
            message(1, chat_id=new, offline=True),
            chats=[chat(delivered=2, last=3), chat(delivered=1, last=1, chat_id=new)],
        )
        assert positions == {CHAT: 2, new: 0}
        first, second = await take(client, 2)
        assert isinstance(first, OneToOneChat) and (first.chat_id, first.seq) == (CHAT, 3)
        assert isinstance(second, OneToOneChat) and (second.chat_id, second.seq) == (new, 1)


@on_a_loop
async def test_a_conversation_that_was_left_meanwhile_is_told_and_asked_for_no_more() -> None:
    async with stage() as at, at.client() as client:
        peer = await at.server.accept()
        await peer.catch_up(chats=[chat()], groups=[group(3)])
        await client.online()
        peer.cut()
        peer = await at.accept_again()
        positions = await peer.catch_up(chats=[chat()], errors={"g": ErrorCode.NOT_A_MEMBER})
        assert positions == {CHAT: 0, "g": 3}
        assert await client.next() == Gone("g")
        peer.cut()
        peer = await at.accept_again()
        assert await peer.catch_up(chats=[chat()]) == {CHAT: 0}


@on_a_loop
async def test_positions_go_in_batches() -> None:
    async with stage() as at:
        known = {f"c{n}": n for n in range(2_500)}
        async with at.client(positions=known, log_id="log") as client:
            peer = await at.server.accept()
            named = await peer.catch_up()
            assert len(named) == 1_000
            for expected in (1_000, 500):
                resume = await peer.take(requests.Resume)
                assert len(resume.positions) == expected
                named |= resume.positions
                await peer.answer(resume)
            assert named == known == client.positions


@on_a_loop
async def test_a_new_log_drops_the_positions() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(1), message(2), message(3))
        await take(client, 3)
        assert client.log_id == "log"
        at.server.log_id = "restored"
        peer.cut()
        peer = await at.accept_again()
        positions = await peer.catch_up(message(2, "other"), chats=[chat(delivered=1, last=2)])
        assert positions == {CHAT: 1}, "as after a first connect"
        assert await client.next() == LogRenewed("restored")
        other = await client.next()
        assert isinstance(other, OneToOneChat) and (other.seq, other.content) == (2, "other")
        assert client.log_id == "restored"


@on_a_loop
async def test_kept_positions_of_another_log_are_not_used() -> None:
    async with stage() as at:
        async with at.client(positions={CHAT: 7}, log_id="older") as client:
            peer = await at.server.accept()
            assert await peer.catch_up(chats=[chat(delivered=2)]) == {CHAT: 2}
            assert await client.next() == LogRenewed("log")


@on_a_loop
async def test_a_position_above_the_head_begins_the_conversation_anew() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(1), message(2), message(3))
        await take(client, 3)
        peer.cut()
        peer = await at.accept_again()
        await peer.catch_up(rewound(), message(1, "new"), message(2, "new"), chats=[chat()])
        assert await client.next() == Rewound(CHAT)
        again = await take(client, 2)
        assert seqs(again) == [1, 2]
        await peer.send(message(3, "new"))
        assert seqs(await take(client, 1)) == [3]


@on_a_loop
async def test_a_resync_for_a_full_queue_shows_nothing_twice() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(1), message(2))
        # What follows left the queue, and comes from the log; some of it was sent already.
        await peer.send(Resync(chat_id=CHAT, after_seq=1), message(2), message(3))
        await peer.send(Resync(chat_id=CHAT, after_seq=0), message(1), message(4))
        assert seqs(await take(client, 4)) == [1, 2, 3, 4]
        peer.cut()
        peer = await at.accept_again()
        await peer.catch_up(Resync(chat_id=CHAT, after_seq=4), message(5), chats=[chat()])
        assert seqs(await take(client, 1)) == [5]


@on_a_loop
async def test_what_was_sent_is_handed_out_once_though_its_ack_was_lost() -> None:
    async with stage() as at, at.online() as (client, peer):
        entry = client.post_direct("bob", "hello")
        post = await peer.take(requests.OneToOneChat)
        assert post.client_msg_id is not None
        peer.cut()  # it was stored; the ack never came
        peer = await at.accept_again()
        own = message(1, "hello", from_=ALICE, to="bob", client_msg_id=post.client_msg_id)
        await peer.catch_up(own, chats=[chat()])
        shown = await client.next()
        assert isinstance(shown, OneToOneChat) and shown.content == "hello"
        await entry.settled()
        assert (entry.seq, entry.id, client.entries) == (1, "m1", [])
        await client.online()
        await peer.send(message(2))
        assert seqs(await take(client, 1)) == [2]
        again = [frame for frame in peer.passed_over if isinstance(frame, requests.OneToOneChat)]
        assert again == [], "its event said that it is stored"


@on_a_loop
async def test_it_is_sent_again_under_its_id_and_handed_out_once() -> None:
    async with stage() as at, at.online() as (client, peer):
        entry = client.post_direct("bob", "hello")
        first = await peer.take(requests.OneToOneChat)
        peer.cut()
        peer = await at.accept_again()
        await peer.catch_up(chats=[chat()])
        second = await peer.take(requests.OneToOneChat)
        assert second.client_msg_id == first.client_msg_id
        assert second.content == "hello"
        # It had been stored after all, and another device's event comes too.
        await peer.answer(second, ack_of(second, 1, duplicate=True))
        await peer.send(
            message(1, "hello", from_=ALICE, to="bob", client_msg_id=first.client_msg_id)
        )
        await peer.send(message(2))
        shown = await take(client, 2)
        assert seqs(shown) == [1, 2]
        assert entry.state is EntryState.SENT
        assert at.entries == [("hello", EntryState.SENDING), ("hello", EntryState.SENT)]


@on_a_loop
async def test_a_post_without_a_connection_waits_for_one() -> None:
    async with stage() as at, at.online() as (client, peer):
        peer.cut()
        await at.phase(Phase.WAITING)
        entries = [client.post_direct("bob", f"{n}") for n in range(3)]
        at.states.append(client.state)
        peer = await at.accept_again()
        await peer.catch_up(chats=[chat()])
        for seq in (1, 2, 3):
            post = await peer.take(requests.OneToOneChat)
            await peer.answer(post, ack_of(post, seq))
        for entry in entries:
            await entry.settled()
        assert [entry.seq for entry in entries] == [1, 2, 3]
        shown = await take(client, 3)
        assert [getattr(item, "content", None) for item in shown] == ["0", "1", "2"]


@on_a_loop
async def test_nothing_is_posted_before_all_that_was_missed_has_come() -> None:
    known = {f"c{n}": n for n in range(1_500)}
    async with stage() as at, at.client(positions=known, log_id="log") as client:
        client.post_direct("bob", "hello")
        peer = await at.server.accept()
        await peer.catch_up(chats=[chat()])
        second = await peer.take(requests.Resume)
        assert [type(frame) for frame in peer.passed_over] == [requests.Ack]
        await peer.answer(second)
        await peer.take(requests.OneToOneChat)


@on_a_loop
async def test_a_refusal_for_good_is_told_and_may_be_tried_again() -> None:
    async with stage() as at, at.online() as (client, peer):
        entry = client.post_direct("bob", "hello")
        post = await peer.take(requests.OneToOneChat)
        await peer.refuse(post, ErrorCode.BLOCKED)
        with pytest.raises(RequestFailed) as failed:
            await entry.settled()
        assert failed.value.code is ErrorCode.BLOCKED
        assert client.entries == [entry]
        client.retry(entry)
        again = await peer.take(requests.OneToOneChat)
        assert again.client_msg_id == post.client_msg_id
        await peer.refuse(again, ErrorCode.BLOCKED)
        with pytest.raises(RequestFailed):
            await entry.settled()
        client.discard(entry)
        assert client.entries == []


@on_a_loop
async def test_a_refusal_for_a_time_is_tried_again_by_itself() -> None:
    async with stage() as at, at.online() as (client, peer):
        entry = client.post_direct("bob", "hello")
        post = await peer.take(requests.OneToOneChat)
        await peer.refuse(post, ErrorCode.RATE_LIMITED, retry_after_ms=2_500)
        await at.timer.is_set()
        assert at.timer.next_in == 2.5
        await at.timer.turn(2.5)
        again = await peer.take(requests.OneToOneChat)
        assert again.client_msg_id == post.client_msg_id
        await peer.answer(again, ack_of(again, 1))
        await entry.settled()


@on_a_loop
async def test_an_ack_that_overtakes_events_keeps_its_place() -> None:
    async with stage() as at, at.online() as (client, peer):
        client.post_direct("bob", "three")
        post = await peer.take(requests.OneToOneChat)
        await peer.answer(post, ack_of(post, 3))
        await peer.send(message(1), message(2), message(4))
        shown = await take(client, 4)
        assert seqs(shown) == [1, 2, 3, 4]


@on_a_loop
async def test_a_gap_is_asked_for_by_resume() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(1), message(4), MARK)
        assert await take(client, 2) == [message(1), MARK]
        await at.timer.turn(GAP_SECONDS)
        resume = await peer.take(requests.Resume)
        assert resume.positions == {CHAT: 1}
        await peer.send(message(3), message(2))
        await peer.answer(resume)
        assert seqs(await take(client, 3)) == [2, 3, 4]


@on_a_loop
async def test_a_gap_that_resume_does_not_close_needs_a_new_connection() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(2), MARK)
        assert await client.next() == MARK
        await at.timer.turn(GAP_SECONDS)
        await peer.answer(await peer.take(requests.Resume))
        await peer.send(MARK)
        assert await client.next() == MARK
        await at.timer.turn(GAP_SECONDS)
        await peer.ws.wait_closed()
        peer = await at.accept_again()
        assert await peer.catch_up(message(1), message(2), chats=[chat()]) == {CHAT: 0}
        assert seqs(await take(client, 2)) == [1, 2]


@on_a_loop
async def test_more_behind_a_gap_than_is_kept_needs_a_new_connection() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(*(message(seq) for seq in range(2, MAX_WAITING + 3)))
        await peer.ws.wait_closed()
        peer = await at.accept_again()
        assert await peer.catch_up(message(1), message(2), chats=[chat()]) == {CHAT: 0}
        assert seqs(await take(client, 2)) == [1, 2]


@on_a_loop
async def test_numbers_that_the_user_may_not_read_are_passed_over() -> None:
    async with stage() as at, at.client(positions={"g": 3}, log_id="log") as client:
        peer = await at.server.accept()
        # It has left after 3, and was added again with 20.
        added = GroupMemberJoined(group_id="g", username=ALICE, by="bob", at=0, seq=20, prev=19)
        updated = GroupUpdated(group_id="g", name="new", by="bob", at=0, seq=21, prev=20)
        assert await peer.catch_up(added, updated, groups=[group()]) == {"g": 3}
        assert await take(client, 2) == [added, updated]


@on_a_loop
async def test_what_was_dealt_with_is_acked_and_soon_again() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(1), message(2), message(3))
        await take(client, 3)
        assert (await peer.take(requests.Ack)).seq == 0, "from now on only ACKs count"
        await at.timer.turn(0)
        acked = await peer.take(requests.Ack)
        assert (acked.chat_id, acked.seq) == (CHAT, 2), "the third is being dealt with"
        await peer.answer(acked)
        await peer.send(message(4), MARK)
        await take(client, 2)
        await at.timer.turn(0.5)
        again = await peer.take(requests.Ack)
        assert again.seq == 4
        client.mark_read(HERE, 3)
        await at.timer.turn(0.5)
        assert (await peer.take(requests.MarkRead)).seq == 3


@on_a_loop
async def test_an_unanswered_ack_goes_out_again_on_the_next_connection() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(1), MARK)
        await take(client, 2)
        await at.timer.turn(0)
        while (await peer.take(requests.Ack)).seq != 1:
            pass
        peer.cut()
        peer = await at.accept_again()
        await peer.catch_up(chats=[chat()])
        assert (await peer.take(requests.Ack)).seq == 0
        await client.online()
        await at.timer.turn(0.5)
        assert (await peer.take(requests.Ack)).seq == 1


@on_a_loop
async def test_leaving_acks_what_was_dealt_with() -> None:
    async with stage() as at:
        async with at.online() as (client, peer):
            await peer.send(message(1), message(2), MARK)
            await take(client, 3)
            closing = asyncio.create_task(client.close())
            while (acked := await peer.take(requests.Ack)).seq != 2:
                pass
            assert not closing.done()
            await peer.answer(acked)
            await closing
        assert client.state.phase is Phase.CLOSED
        with pytest.raises(NotConnected):
            await client.next()
        with pytest.raises(NotConnected):
            client.post_direct("bob", "too late")
        await peer.ws.wait_closed()
        assert peer.ws.close_code == CloseCode.BYE


@on_a_loop
async def test_typing_is_renewed_until_it_stops() -> None:
    async with stage() as at, at.online() as (client, peer):
        client.typing(HERE, True)
        client.typing(HERE, True)
        assert (await peer.take(requests.Typing)).is_typing
        for _ in range(2):
            await at.timer.turn(3)
            assert (await peer.take(requests.Typing)).is_typing
        client.typing(HERE, False)
        assert not (await peer.take(requests.Typing)).is_typing
        await at.timer.turn(10)
        await client_is_through(client, peer)
        assert not [frame for frame in peer.passed_over if isinstance(frame, requests.Typing)]


@on_a_loop
async def test_typing_that_is_refused_is_not_renewed() -> None:
    async with stage() as at, at.online() as (client, peer):
        client.typing(HERE, True)
        await peer.refuse(await peer.take(requests.Typing), ErrorCode.BLOCKED)
        await peer.send(MARK)
        assert await client.next() == MARK, "the refusal is no news to the application"
        await at.timer.turn(10)
        await client_is_through(client, peer)
        assert not [frame for frame in peer.passed_over if isinstance(frame, requests.Typing)]


@on_a_loop
async def test_an_own_change_is_an_event_to_the_application() -> None:
    async with stage() as at, at.online() as (client, peer):
        await peer.send(message(1))
        editing = asyncio.create_task(client.edit(HERE, "m1", "better", version=1))
        request = await peer.take(requests.EditMessage)
        assert (request.chat_id, request.id, request.version) == (CHAT, "m1", 1)
        await peer.answer(request, Success(id="m1", chat_id=CHAT, seq=2, prev=1, version=2))
        assert (await editing).version == 2
        assert seqs([await client.next()]) == [1]
        event = await client.next()
        assert isinstance(event, MessageEdited)
        assert (event.content, event.version, event.from_, event.seq) == ("better", 2, ALICE, 2)


@on_a_loop
async def test_an_edit_whose_answer_was_lost_has_an_unknown_outcome() -> None:
    async with stage() as at, at.online() as (client, peer):
        editing = asyncio.create_task(client.edit(HERE, "m1", "better"))
        await peer.take(requests.EditMessage)
        reading = asyncio.create_task(client.history_direct("bob"))
        await peer.take(requests.GetOneToOneHistory)
        peer.cut()
        with pytest.raises(OutcomeUnknown) as unknown:
            await editing
        assert "may have been carried out, or not" in str(unknown.value)
        with pytest.raises(ConnectionLost) as lost:
            await reading
        assert not isinstance(lost.value, OutcomeUnknown)
        with pytest.raises(NotConnected):
            await client.delete(HERE, "m1")
        peer = await at.accept_again()
        await peer.catch_up(chats=[chat()])
        await client_is_through(client, peer)
        assert not [f for f in peer.passed_over if isinstance(f, requests.EditMessage)]


@on_a_loop
async def test_what_is_no_event_passes_as_it_comes() -> None:
    async with stage() as at, at.online() as (client, peer):
        frames: list[ServerFrame] = [
            Typing(chat_id=CHAT, username="bob", is_typing=True),
            DeliveryReceipt(chat_id=CHAT, username="bob", seq=7),
            Error(code=ErrorCode.RATE_LIMITED, msg="slower", temporary=True),
        ]
        await peer.send(*frames)
        assert await take(client, 3) == frames


@on_a_loop
async def test_an_own_leave_ends_the_conversation() -> None:
    async with stage() as at, at.client() as client:
        peer = await at.server.accept()
        await peer.catch_up(groups=[group(3)])
        await client.online()
        leaving = asyncio.create_task(client.leave_group("g"))
        request = await peer.take(requests.LeaveGroup)
        await peer.answer(request, Success(group_id="g", seq=4, prev=3))
        await leaving
        assert isinstance(await client.next(), GroupMemberLeft)
        assert client.positions == {}
        joining = asyncio.create_task(client.join_group("g"))
        request2 = await peer.take(requests.JoinGroup)
        await peer.answer(request2, Success(group_id="g", seq=9, prev=8))
        await joining
        assert isinstance(await client.next(), GroupMemberJoined)
        peer.cut()
        peer = await at.accept_again()
        assert await peer.catch_up(groups=[group(9)]) == {"g": 9}


@on_a_loop
async def test_presence_is_subscribed_to_again() -> None:
    async with stage() as at, at.online() as (client, peer):
        subscribing = asyncio.create_task(client.subscribe_presence(["bob"]))
        await peer.answer(await peer.take(requests.SubscribePresence))
        await subscribing
        peer.cut()
        peer = await at.accept_again()
        await peer.catch_up(chats=[chat()])
        assert (await peer.take(requests.SubscribePresence)).users == ["bob"]


@on_a_loop
async def test_what_an_application_takes_late_comes_all_the_same() -> None:
    async with stage() as at, at.online(max_happenings=2) as (client, peer):
        await peer.send(*(message(seq) for seq in range(1, 10)))
        peer.cut()
        shown = await take(client, 2)
        taking = asyncio.create_task(take(client, 8))
        peer = await at.accept_again()
        resume = await peer.asked_to_resume([chat()])
        last = resume.positions[CHAT]
        assert last >= 2
        await peer.send(*(message(seq) for seq in range(last + 1, 11)))
        await peer.answer(resume)
        assert seqs(shown + await taking) == list(range(1, 11))


@on_a_loop
async def test_close_codes_that_tell_to_stay_away_are_obeyed() -> None:
    async with stage() as at, at.online() as (client, peer):
        entry = client.post_direct("bob", "hello")
        await peer.take(requests.OneToOneChat)
        await peer.ws.close(CloseCode.TOKEN_REVOKED, "token revoked")
        state = await at.phase(Phase.FAILED)
        assert isinstance(state.cause, ConnectionLost)
        assert (state.cause.code, state.cause.reason) == (4501, "token revoked")
        with pytest.raises(ConnectionLost):
            await client.next()
        with pytest.raises(ConnectionLost):
            await client.online()
        assert entry.state is EntryState.FAILED and client.entries == [entry]
        await at.timer.turn(100)
        assert at.server.knocks == 1

        client.retry(entry)
        client.try_now()
        peer = await at.server.accept()
        await peer.catch_up(chats=[chat()])
        post = await peer.take(requests.OneToOneChat)
        await peer.answer(post, ack_of(post, 1))
        await entry.settled()


@on_a_loop
async def test_an_expired_token_is_renewed_before_the_next_try() -> None:
    async with stage() as at, ApiServer() as api:
        renewed: list[Login] = []
        login = Login("token 0", "refresh 0", 60, User(ALICE))
        credentials = Credentials(api.url, login, renewed.append)
        async with at.client(credentials) as client:
            peer = await at.server.accept()
            assert peer.token == "token 0"
            await peer.catch_up(chats=[chat()])
            await peer.ws.close(CloseCode.TOKEN_EXPIRED)
            peer = await at.accept_again()
            assert peer.token == "token 1"
            await peer.catch_up(chats=[chat()])
            await client.online()
            # It expired while there was no connection: the handshake says so.
            at.server.refusals = [401]
            peer.cut()
            await at.phase(Phase.ONLINE)
            await at.wait_out()
            peer = await at.accept_again()
            assert peer.token == "token 2"
            assert api.refreshed == ["refresh 0", "refresh 1"]
            assert [login.refresh_token for login in renewed] == ["refresh 1", "refresh 2"]


@on_a_loop
async def test_a_login_that_has_ended_is_the_end() -> None:
    async with stage() as at, ApiServer() as api:
        api.refresh_status = 401
        login = Login("token 0", "refresh 0", 60, User(ALICE))
        async with at.client(Credentials(api.url, login)):
            peer = await at.server.accept()
            await peer.catch_up(chats=[chat()])
            await peer.ws.close(CloseCode.TOKEN_EXPIRED)
            await at.wait_out()
            state = await at.phase(Phase.FAILED)
            assert isinstance(state.cause, HttpFailed) and state.cause.status == 401


@on_a_loop
async def test_a_resume_that_fails_is_tried_on_the_next_connection() -> None:
    async with stage() as at, at.client() as client:
        peer = await at.server.accept()
        await peer.refuse(await peer.asked_to_resume([chat(3)]), ErrorCode.UNAVAILABLE)
        peer = await at.accept_again()
        assert await peer.catch_up(message(4), chats=[chat(delivered=4)]) == {CHAT: 3}
        assert seqs(await take(client, 1)) == [4]


@on_a_loop
async def test_ten_tries_and_no_more() -> None:
    async with stage() as at:
        at.server.refusals = [503] * 11
        async with at.client() as client:
            for _ in range(10):
                await at.wait_out()
            state = await at.phase(Phase.FAILED)
            assert isinstance(state.cause, CannotConnect) and state.tries == 10
            assert at.server.knocks == 11, "the first one and ten tries"
            assert client.state is state
