"""A round: new users and conversations on a server, acts and trouble for a while, then rest, and
everything read once more."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol

from protocol.pushes import GroupChatHistory, OneToOneChatHistory
from tests.checker.actor import Actor, Siesta, page_of
from tests.checker.decisions import End, stays
from tests.checker.device import Device, Place, Target
from tests.checker.history import Audited, History
from tests.checker.plan import Options, make_plan
from tests.checker.setting import Setting, make_setting

_PAGE: Final = 200


class Trouble(Protocol):
    """What happens to the server meanwhile."""

    async def make(self, history: History, stop: asyncio.Event) -> None:
        """Make trouble until `stop`; then leave the server in good health."""
        ...


class NoTrouble:
    async def make(self, history: History, stop: asyncio.Event) -> None:
        await stop.wait()


async def play(
    target: Target,
    history: History,
    options: Options,
    trouble: Trouble,
    *,
    seed: str,
    stop: asyncio.Event,
    prefix: str = "u",
    others: Sequence[Target] = (),
) -> None:
    """A whole round, with acts and trouble until `stop`. The users' names begin with `prefix`,
    which no other round on the server has. Clients come to `target`, and to `others`, which are
    further nodes of the same server."""
    targets = [target, *others]
    plan = make_plan(seed, options.users, prefix)
    setting = await make_setting(targets, history, plan, options.patience)
    actors: list[Actor] = []
    siesta = Siesta()
    for device in setting.devices:
        decided = stays(seed, device.name, longest=options.longest_stay, pause=options.pause)
        actors.append(Actor(device, seed, decided, siesta, options.patience))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(trouble.make(history, stop))
        for actor in actors:
            tasks.create_task(actor.play(stop))
    await _all(actor.finish() for actor in actors)
    # Whoever is connected gets the rest; then everybody comes again for what it lacks.
    await _all(device.settle(options.patience, options.rest) for device in setting.devices)
    await _all(
        _return(device, [*End][number % len(End)], options)
        for number, device in enumerate(setting.devices)
    )
    await _audit(targets, history, setting, options)


async def _return(device: Device, end: End, options: Options) -> None:
    await device.go(end)
    await device.come(resumes=True)
    await device.resume_all()
    await device.settle(options.patience, options.rest)
    await device.go(End.CLOSE)


async def _audit(
    targets: Sequence[Target], history: History, setting: Setting, options: Options
) -> None:
    """Every conversation from its beginning, by RESUME and by pages."""
    for user, places in setting.readers.items():
        if not places:
            continue
        reader = Device(targets, history, user, f"{user}/audit", setting.tokens[user])
        reader.places = places
        await reader.come(resumes=True)
        await reader.resume_all()
        await reader.settle(options.patience, options.rest)
        for place in places:
            await _read_pages(reader, place, options.patience)
        assert reader.connection is not None
        names = [place.id for place in places]
        history.add(
            Audited(at=history.now(), connection=reader.connection.number, conversations=names)
        )
        await reader.go(End.CLOSE)


async def _read_pages(reader: Device, place: Place, patience: float) -> None:
    after = 0
    while True:
        page = await reader.request(page_of(place, after=after, limit=_PAGE), patience)
        if not isinstance(page, OneToOneChatHistory | GroupChatHistory) or not page.messages:
            return
        after = page.messages[-1].seq
        if not page.has_more:
            return


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*works)
