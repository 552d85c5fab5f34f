"""Carries out what was decided for a device, with what the device has at the moment."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from protocol import requests
from protocol.requests import Request
from tests.checker.connection import Connection
from tests.checker.decisions import Act, Stay, Step, Way, is_given_up
from tests.checker.device import Device, Known, Place, Post

T = TypeVar("T")

UNDER_WAY: Final = 16
"""Requests of a device that await their answers; then it waits."""
_BUSIEST: Final = 0.35
"""The part of the acts that are for the first conversation."""
_EMOJI: Final = ("👍", "🎉", "😀")
_VERSIONED: Final = 0.5
_REMOVED: Final = 0.7
_WITH_REF: Final = 0.7
_OLDER: Final = 0.8
_NAP_SECONDS: Final = 3.0
_SIESTA_SECONDS: Final = 2.5
_FLOOD_POSTS: Final = 256
_FLOOD_CHARS: Final = 15_000
_TRIES: Final = 10


class Siesta:
    """Until when the narrow devices read nothing; who floods begins one."""

    def __init__(self) -> None:
        self.until = 0.0


class Actor:
    def __init__(
        self,
        device: Device,
        seed: str,
        stays: Iterator[Stay],
        siesta: Siesta,
        patience: float,
    ) -> None:
        self.device = device
        self._siesta = siesta
        self._seed = seed
        self._stays = stays
        self._patience = patience
        self._count = 0

    async def play(self, stop: asyncio.Event) -> None:
        """Come and go until `stop`; then stay as it is."""
        for stay in self._stays:
            await self._come(stay, stop)
            await self._take_steps(stay, stop)
            if stop.is_set():
                return
            await self.device.go(stay.end, deaf=stay.deaf)
            self._give_up()
            await asyncio.sleep(stay.away)

    async def finish(self) -> None:
        """Connect if need be, and repeat what has no ack until it has."""
        device = self.device
        for _ in range(_TRIES):
            if not device.is_here:
                self._give_up()
                await device.come(resumes=True)
                await device.resume_all()
            connection = device.connection
            assert connection is not None
            await self._await_answers(connection, 1)
            if device.is_here:
                if connection.unanswered or not device.pending:
                    return
                await self._repeat_pending()

    async def _come(self, stay: Stay, stop: asyncio.Event) -> None:
        device = self.device
        if stay.keeps is not None:
            device.forget(stay.keeps)
        resumes = stay.way in (Way.RESUME, Way.RESUME_IN_TWO)
        await device.come(resumes=resumes, node=stay.node, until=stop)
        if not device.is_here:
            return
        names = [place.id for place in device.places]
        if stay.way is Way.RESUME:
            await device.resume(names)
        elif stay.way is Way.RESUME_IN_TWO:
            await device.resume(names[::2])
            await device.resume(names[1::2])
        await self._repeat_pending()

    async def _take_steps(self, stay: Stay, stop: asyncio.Event) -> None:
        device = self.device
        resume_at = -1
        if stay.way is Way.PLAIN_THEN_RESUME:
            resume_at = int(stay.waits * len(stay.steps))
        for number, step in enumerate(stay.steps):
            connection = device.connection
            if connection is None or connection.is_over or stop.is_set():
                return
            if number == resume_at:
                await device.resume_all()
            if device.is_narrow and (left := self._siesta.until - time.monotonic()) > 0:
                await connection.nap(left)
            await self._act(connection, stay, step)
            await asyncio.sleep(step.pause)
            await self._await_answers(connection, UNDER_WAY)

    async def _act(self, connection: Connection, stay: Stay, step: Step) -> None:
        if step.act is Act.NAP:
            await connection.nap(step.shade * _NAP_SECONDS)
        elif step.act is Act.FLOOD:
            self._siesta.until = time.monotonic() + _SIESTA_SECONDS
            await asyncio.sleep(_SIESTA_SECONDS / 10)
            for _ in range(_FLOOD_POSTS):
                await connection.ask(self._post(self.device.places[0], _FLOOD_CHARS))
        elif step.act is not Act.ACK or stay.acks:
            request = self._request(step)
            if request is not None:
                is_cursor = isinstance(request, requests.Ack | requests.MarkRead)
                await connection.ask(request, with_ref=not is_cursor or step.shade < _WITH_REF)

    async def _await_answers(self, connection: Connection, fewer_than: int) -> None:
        came = await connection.until(
            lambda: len(connection.unanswered) < fewer_than, self._patience
        )
        if not came and not connection.is_over:
            connection.note_overdue()

    def _give_up(self) -> None:
        """After the end of a connection: some posts without an ack are never sent again."""
        pending = [*self.device.pending]
        self.device.drop([key for key in pending if is_given_up(self._seed, key)])

    async def _repeat_pending(self) -> None:
        for post in [*self.device.pending.values()]:
            await self.device.ask(post)

    def _request(self, step: Step) -> Request | None:
        """What the step comes to now; None when there is nothing to do it with."""
        device = self.device
        place = self._place(step.place)
        match step.act:
            case Act.POST:
                return self._post(place, step.size)
            case Act.REPEAT:
                return _picked([*device.acked], step.pick)
            case Act.EDIT:
                return self._edit(place, step)
            case Act.DELETE:
                mine = self._message(place, step.pick, own=True)
                return mine and requests.DeleteMessage(**place.names, id=mine.id)
            case Act.REACT:
                message = self._message(place, step.pick)
                return message and requests.React(
                    **place.names,
                    id=message.id,
                    emoji=_EMOJI[int(step.shade * len(_EMOJI))],
                    remove=step.pick * 10 % 1 >= _REMOVED,
                )
            case Act.ACK | Act.MARK_READ:
                kind = requests.Ack if step.act is Act.ACK else requests.MarkRead
                seq = device.position(place.id).reached
                if step.shade >= _OLDER:
                    seq = int(seq * step.pick)
                return kind(**place.names, seq=seq) if seq else None
            case Act.PAGE:
                return self._page(place, step)
            case Act.INIT_DATA:
                return requests.InitData()
            case Act.RESUME:
                return self._resume(step)
            case Act.LEAVE_OR_JOIN:
                return self._leave_or_join()
            case Act.NAP | Act.FLOOD:
                return None

    def _place(self, place: float) -> Place:
        places = self.device.places
        chosen = places[0]
        if place >= _BUSIEST:
            chosen = _picked(places, (place - _BUSIEST) / (1 - _BUSIEST)) or chosen
        return places[0] if chosen.id in self.device.is_out else chosen

    def _post(self, place: Place, size: int) -> Post:
        self._count += 1
        key = f"{self.device.name}.{self._count}"
        content = f"{key} {'x' * size}"
        post: Post
        if place.peer is None:
            post = requests.GroupChat(group_id=place.id, content=content, client_msg_id=key)
        else:
            post = requests.OneToOneChat(to=place.peer, content=content, client_msg_id=key)
        self.device.pending[key] = post
        return post

    def _edit(self, place: Place, step: Step) -> Request | None:
        message = self._message(place, step.pick, own=not place.is_admin)
        if message is None:
            return None
        self._count += 1
        return requests.EditMessage(
            **place.names,
            id=message.id,
            content=f"edit {self.device.name}.{self._count} {'y' * step.size}",
            version=self.device.versions.get(message.id, 1) if step.shade < _VERSIONED else None,
        )

    def _message(self, place: Place, pick: float, *, own: bool = False) -> Known | None:
        known = self.device.known.get(place.id, ())
        user = self.device.user
        return _picked([one for one in known if not own or one.author == user], pick)

    def _page(self, place: Place, step: Step) -> Request:
        at = int(step.pick * self.device.position(place.id).reached)
        limit = 1 + int(step.size) % 200
        before = after = None
        if step.shade < 1 / 3:
            after = at
        elif step.shade < 2 / 3:
            before = at + 1
        return page_of(place, after=after, before=before, limit=limit)

    def _resume(self, step: Step) -> Request | None:
        """The positions with which it came, or those of now."""
        device = self.device
        if step.shade < 0.5 and device.came_with:
            return requests.Resume(positions=dict(device.came_with))
        names = [place.id for place in device.places if place.id in device.positions]
        return requests.Resume(positions={name: device.position(name).reached for name in names})

    def _leave_or_join(self) -> Request | None:
        device = self.device
        for place in device.places:
            if place.may_leave:
                if place.id in device.is_out:
                    return requests.JoinGroup(group_id=place.id)
                return requests.LeaveGroup(group_id=place.id)
        return None


def page_of(
    place: Place, *, after: int | None = None, before: int | None = None, limit: int
) -> Request:
    """The request for a page of a conversation's history."""
    if place.peer is None:
        return requests.GetGroupChatHistory(
            group_id=place.id, after=after, before=before, limit=limit
        )
    return requests.GetOneToOneHistory(chat_id=place.id, after=after, before=before, limit=limit)


def _picked(things: Sequence[T], pick: float) -> T | None:
    return things[int(pick * len(things))] if things else None
