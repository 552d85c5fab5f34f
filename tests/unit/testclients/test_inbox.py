"""What an application has still to take."""

import asyncio

import pytest

from protocol.pushes import Pong
from testclients.errors import ConnectionLost, NotConnected
from testclients.events import Event
from testclients.inbox import Inbox
from tests.support.running import on_a_loop, turns
from tests.unit.testclients.scripted import message


@on_a_loop
async def test_what_comes_next_says_that_the_one_before_was_dealt_with() -> None:
    consumed: list[Event] = []
    inbox = Inbox(consumed.append)
    inbox.put([message(1), Pong(), message(2)])
    assert await inbox.next() == message(1)
    assert consumed == []
    assert await inbox.next() == Pong()
    assert consumed == [message(1)]
    assert await inbox.next() == message(2)
    waiting = asyncio.create_task(inbox.next())
    await turns()
    assert consumed == [message(1), message(2)], "it waits for more, so it is through"
    inbox.put([message(3)])
    assert await waiting == message(3)


@on_a_loop
async def test_taking_all_deals_with_all() -> None:
    consumed: list[Event] = []
    inbox = Inbox(consumed.append)
    inbox.put([message(1), message(2), message(3)])
    await inbox.next()
    assert inbox.take_all() == [message(2), message(3)]
    assert consumed == [message(1), message(2), message(3)]
    assert inbox.take_all() == []


@on_a_loop
async def test_a_full_inbox_says_so_until_something_is_taken() -> None:
    inbox = Inbox(lambda _: None, max_happenings=2)
    inbox.put([message(1)])
    full = [inbox.is_full]
    inbox.put([message(2), message(3)])
    full.append(inbox.is_full)
    changed = asyncio.create_task(inbox.change())
    await turns()
    assert not changed.done()
    await inbox.next()
    await changed
    full.append(inbox.is_full)
    await inbox.next()
    assert [*full, inbox.is_full] == [False, True, True, False]


@on_a_loop
async def test_an_end_comes_after_all_that_is_there() -> None:
    inbox = Inbox(lambda _: None)
    inbox.put([message(1)])
    inbox.end(ConnectionLost(4501, "token revoked"))
    assert await inbox.next() == message(1)
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            await inbox.next()
    inbox.end(None)
    waiting = asyncio.create_task(inbox.next())
    await turns()
    assert not waiting.done()
    inbox.end(NotConnected())
    with pytest.raises(NotConnected):
        await waiting
