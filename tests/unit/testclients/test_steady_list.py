"""The client that stays connected, when its user has more conversations than INIT_DATA tells."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from protocol import requests
from protocol.close import CloseCode
from protocol.pushes import OneToOneChat
from testclients.connection_state import Phase
from testclients.credentials import Credentials
from testclients.errors import CannotConnect, ConnectionLost, HttpFailed
from testclients.http import ListedConversation, Login, User
from testclients.steady import SteadyClient
from tests.support.running import on_a_loop
from tests.unit.testclients.scripted import ALICE, CHAT, Peer, chat, group, message
from tests.unit.testclients.scripted_http import ApiServer, listed
from tests.unit.testclients.stage import Stage, seqs, stage, take

OLD = "alice-old"


@asynccontextmanager
async def client_of(at: Stage, api: ApiServer, **more: Any) -> AsyncIterator[SteadyClient]:
    login = Login("token 0", "refresh 0", 60, User(ALICE))
    async with at.client(Credentials(api.url, login), **more) as client:
        yield client


async def tell_list(peer: Peer, api: ApiServer, *pages: list[ListedConversation]) -> None:
    """INIT_DATA with one chat and more to come; then the pages, and the first one again."""
    await peer.tell([chat(delivered=4, last=4)], has_more=True)
    for number, page in enumerate(pages, 1):
        asked = await api.asked()
        assert asked.cursor == (None if number == 1 else f"{number}")
        asked.answer(page, f"{number + 1}" if number < len(pages) else None)
    if len(pages) > 1:
        (await api.asked()).answer(pages[0], "2")


@on_a_loop
async def test_a_first_connect_resumes_all_that_the_list_names() -> None:
    async with stage() as at, ApiServer() as api, client_of(at, api) as client:
        peer = await at.server.accept()
        await tell_list(
            peer,
            api,
            [listed(CHAT, 4, 3, type="direct"), listed("g", 9, 8)],
            [listed(OLD, 7, 5, type="direct")],
        )
        resume = await peer.take(requests.Resume)
        assert resume.positions == {CHAT: 4, "g": 8, OLD: 5}, "INIT_DATA is asked first"
        await peer.send(message(6, chat_id=OLD), message(7, chat_id=OLD))
        await peer.answer(resume)
        assert seqs(await take(client, 2)) == [6, 7]
        await client.online()
        await peer.send(message(8, chat_id=OLD))
        assert seqs(await take(client, 1)) == [8]


@on_a_loop
async def test_what_the_list_names_is_resumed_in_batches() -> None:
    many = [listed(f"c{number}", 9, 1) for number in range(1_200)]
    async with stage() as at, ApiServer() as api, client_of(at, api):
        peer = await at.server.accept()
        await tell_list(peer, api, many[:700], many[700:])
        named: dict[str, int] = {}
        for count in (1_000, 201):
            resume = await peer.take(requests.Resume)
            assert len(resume.positions) == count
            named |= resume.positions
            await peer.answer(resume)
        assert named == {CHAT: 4} | {one.id: 1 for one in many}


@on_a_loop
async def test_one_that_moves_while_pages_are_read_is_found_at_the_front() -> None:
    async with stage() as at, ApiServer() as api, client_of(at, api):
        peer = await at.server.accept()
        await peer.tell([chat()], has_more=True)
        (await api.asked()).answer([listed(CHAT, type="direct"), listed("g")], "2")
        # It was the third, and is the first by now.
        (await api.asked()).answer([listed("h")])
        asked = await api.asked()
        assert asked.cursor is None
        moved = listed(OLD, 8, 5, type="direct")
        asked.answer([moved, listed(CHAT, type="direct")], "2")
        assert (await peer.take(requests.Resume)).positions == {CHAT: 0, "g": 0, "h": 0, OLD: 5}


@on_a_loop
async def test_a_later_connect_resumes_what_is_new_in_the_list_from_its_beginning() -> None:
    async with stage() as at, ApiServer() as api, client_of(at, api) as client:
        peer = await at.server.accept()
        await tell_list(peer, api, [listed(CHAT, 4, 4, type="direct")], [listed("g", 9, 8)])
        resume = await peer.take(requests.Resume)
        await peer.answer(resume)
        await client.online()
        peer.cut()
        peer = await at.accept_again()
        await tell_list(peer, api, [listed(OLD, 7, 5, type="direct")], [listed("g", 9, 9)])
        assert (await peer.take(requests.Resume)).positions == {CHAT: 4, "g": 8, OLD: 0}


@on_a_loop
async def test_a_first_connect_that_did_not_see_the_list_was_none() -> None:
    async with stage() as at, ApiServer() as api, client_of(at, api) as client:
        peer = await at.server.accept()
        await peer.tell([chat(delivered=4)], has_more=True)
        (await api.asked()).refuse(503)
        state = await at.phase(Phase.WAITING)
        assert isinstance(state.cause, HttpFailed) and state.cause.status == 503
        at.states.append(state)
        peer = await at.accept_again()
        await tell_list(peer, api, [listed("g", 9, 8)], [listed(OLD, 7, 5, type="direct")])
        resume = await peer.take(requests.Resume)
        assert resume.positions == {CHAT: 4, "g": 8, OLD: 5}
        await peer.send(message(6, chat_id=OLD), message(5, chat_id=CHAT))
        await peer.answer(resume)
        got = await take(client, 2)
        assert [(one.chat_id, one.seq) for one in got if isinstance(one, OneToOneChat)] == [
            (OLD, 6),
            (CHAT, 5),
        ]


@on_a_loop
async def test_the_list_is_not_asked_for_when_it_is_whole() -> None:
    async with stage() as at, ApiServer() as api, client_of(at, api) as client:
        peer = await at.server.accept()
        assert await peer.catch_up(chats=[chat()], groups=[group()]) == {CHAT: 0, "g": 0}
        await client.online()
        assert api.requests == 0


@on_a_loop
async def test_a_bare_token_has_no_list() -> None:
    async with stage() as at, at.client() as client:
        peer = await at.server.accept()
        await peer.tell([chat()], has_more=True)
        resume = await peer.take(requests.Resume)
        assert resume.positions == {CHAT: 0}
        await peer.answer(resume)
        await client.online()


@on_a_loop
async def test_a_token_that_expires_before_the_list_was_read_is_renewed() -> None:
    async with stage() as at, ApiServer() as api, client_of(at, api):
        peer = await at.server.accept()
        await peer.tell([chat()], has_more=True)
        asked = await api.asked()
        assert asked.token == "token 0"
        asked.refuse(401)
        state = await at.phase(Phase.WAITING)
        assert isinstance(state.cause, CannotConnect) and state.cause.http_status == 401
        at.states.append(state)
        peer = await at.accept_again()
        assert (peer.token, api.refreshed) == ("token 1", ["refresh 0"])
        await peer.tell([chat()], has_more=True)
        asked = await api.asked()
        assert asked.token == "token 1"
        asked.refuse(401)
        state = await at.phase(Phase.FAILED)
        assert isinstance(state.cause, CannotConnect), "another one would not do either"


@on_a_loop
async def test_a_list_that_is_refused_for_good_is_the_end() -> None:
    async with stage() as at, ApiServer() as api, client_of(at, api) as client:
        peer = await at.server.accept()
        await peer.tell([chat()], has_more=True)
        (await api.asked()).refuse(404)
        with pytest.raises(HttpFailed, match="no"):
            await client.online()


@on_a_loop
async def test_a_connection_that_ends_waits_for_no_list() -> None:
    async with stage() as at, ApiServer() as api, client_of(at, api):
        peer = await at.server.accept()
        await peer.tell([chat()], has_more=True)
        asked = await api.asked()
        await peer.ws.close(CloseCode.DRAIN)
        state = await at.phase(Phase.WAITING)
        assert isinstance(state.cause, ConnectionLost) and state.cause.code == CloseCode.DRAIN
        assert not asked.reply.done()
        asked.answer([])
