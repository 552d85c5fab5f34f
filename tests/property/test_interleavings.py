"""Connections that come, resume and stall between any two turns of the loop, while events are
committed and released: whatever the order, each gets everything that it lacks, and nothing twice.
"""

import asyncio
import random
from pathlib import Path
from typing import Final

import pytest

from chatd.delivery import pages
from protocol.pushes import Success
from protocol.requests import Resume
from tests.support.builders import Core, Reader, Released, add_users, core, create, post
from tests.support.running import on_a_quick_loop, turns, until

SEEDS: Final = 60
ACTIONS: Final = (
    *("commit", "commit", "release", "release", "release", "turn", "turn", "turn", "read"),
    *("connect", "resume", "resume", "stall", "sip", "wake"),
)


class Guest:
    """A connection, and what it asked for."""

    def __init__(self, username: str, *, resumes: bool) -> None:
        self.reader = Reader(username)
        self.resumes = resumes
        self.connecting: asyncio.Task[None] | None = None
        self.resuming: list[asyncio.Task[None]] = []
        self.positions: list[int] = []


@pytest.mark.slow
@on_a_quick_loop
async def test_whatever_the_order_nothing_is_lacking_and_nothing_comes_twice(
    tmp_path: Path,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE", 4)
        async with core(tmp_path, "alice") as here:
            for seed in range(SEEDS):
                await _one(here, random.Random(seed), f"{1000 + seed}")


async def _one(here: Core, choose: random.Random, group_id: str) -> None:
    members = [f"bob{group_id}", f"carol{group_id}"]
    await add_users(here.users, *members)
    here.release(*await here.commit(create(group_id, "alice", members)))
    unreleased: list[list[Released]] = []
    guests: list[Guest] = []
    batches = choose.randint(3, 8)
    while batches or unreleased:
        action = choose.choice(ACTIONS)
        here_now = [guest for guest in guests if guest.connecting and guest.connecting.done()]
        if action == "commit" and batches:
            batches -= 1
            texts = range(choose.randint(1, 4))
            unreleased.append(await here.commit(*(post(group_id, "alice", f"{n}") for n in texts)))
        elif action == "release" and unreleased:
            here.release(*unreleased.pop(0))
        elif action == "connect" and len(guests) < 6:
            guests.append(Guest(choose.choice(members), resumes=choose.random() < 0.5))
            _connect(here, guests[-1])
        elif action == "turn":
            await turns(choose.randint(1, 4))
        elif action == "read":
            await here.ledger.heads([])
        elif here_now:
            await _act(here, choose.choice(here_now), action, choose, group_id)
    await _end(here, guests, group_id)


def _connect(here: Core, guest: Guest) -> None:
    work = here.subscriptions.connect(guest.reader.outbox, resumes=guest.resumes)
    guest.connecting = asyncio.get_running_loop().create_task(work)


async def _act(here: Core, guest: Guest, action: str, choose: random.Random, group_id: str) -> None:
    reader = guest.reader
    if action == "stall":
        reader.stall()
    elif action == "sip":
        reader.sip()
    elif action == "wake":
        reader.wake()
    elif action == "resume" and len(guest.resuming) < 4:
        (head,) = (await here.ledger.heads([group_id])).values()
        position = choose.randint(0, head)
        guest.positions.append(position)
        work = _resume(here, reader, group_id, position)
        guest.resuming.append(asyncio.get_running_loop().create_task(work))


async def _resume(here: Core, reader: Reader, group_id: str, position: int) -> None:
    outbox = reader.outbox
    request = Resume(positions={group_id: position})
    assert await here.resumes.resume(outbox.principal, outbox, request) == Success()
    # By the answer everything above the position has come, but for what is not released yet, or was
    # refused in the very same turn.
    room = here.hub.rooms[group_id]
    reached = room.released if outbox in room.live else room.behind[outbox].position
    assert reached is not None
    assert set(range(position + 1, reached + 1)) <= set(reader.seqs(group_id))


async def _end(here: Core, guests: list[Guest], group_id: str) -> None:
    for guest in guests:
        guest.reader.wake()
        assert guest.connecting is not None
        await guest.connecting
        await asyncio.gather(*guest.resuming)
    (head,) = (await here.ledger.heads([group_id])).values()
    room = here.hub.rooms.get(group_id)
    for guest in guests:
        reader = guest.reader
        if guest.resumes and not guest.positions:
            assert reader.frames() == []
        else:
            assert room is not None
            await until(lambda reader=reader: reader.outbox in room.live)  # type: ignore[misc]
            _check(guest, reader.seqs(group_id), head)
        here.subscriptions.disconnect(reader.outbox)


def _check(guest: Guest, seqs: list[int], head: int) -> None:
    assert len(seqs) == len(set(seqs)), "nothing twice"
    lowest = min(guest.positions, default=0)
    if guest.resumes:
        assert set(seqs) <= set(range(lowest + 1, head + 1)), "nothing that it said it has"
    if len(set(guest.positions)) < 2:
        # What another RESUME asked for besides would be in between.
        assert seqs == sorted(seqs)
    highest = max(guest.positions, default=0)
    assert set(range(highest + 1, head + 1)) <= set(seqs), "nothing is lacking"
