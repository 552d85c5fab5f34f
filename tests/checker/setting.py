"""The users and conversations of a round, made on the server."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from protocol import requests
from protocol.pushes import Success
from protocol.requests import Request
from tests.checker import accounts
from tests.checker.decisions import End
from tests.checker.device import Device, Place, Target
from tests.checker.history import History
from tests.checker.plan import GroupPlan, Plan, direct_id


class Setting(NamedTuple):
    devices: list[Device]
    readers: dict[str, list[Place]]
    """By user, the conversations of which it may read everything; each has one reader."""
    tokens: dict[str, str]


async def make_setting(
    targets: Sequence[Target], history: History, plan: Plan, patience: float
) -> Setting:
    """An answer may take `patience` seconds."""
    tokens = await _register(targets[0], plan)
    places: dict[str, list[Place]] = {user: [] for user in plan.users}
    readers: dict[str, list[Place]] = {user: [] for user in plan.users}

    async def ask(user: str, request: Request) -> Success:
        device = Device(targets, history, user, f"{user}/founder", tokens[user])
        await device.come(resumes=True)
        answer = await device.request(request, patience)
        await device.go(End.CLOSE)
        assert isinstance(answer, Success), f"{request}: {answer}"
        return answer

    for group in plan.groups:
        founder = group.members[0]
        group_id = (await ask(founder, _create(group))).group_id
        assert group_id is not None
        readers[founder].append(Place(group_id))
        for member in group.members:
            is_founder = member == founder
            place = Place(group_id, may_leave=group.is_open and not is_founder, is_admin=is_founder)
            places[member].append(place)
    for one, other in plan.directs:
        if (one, other) in plan.opened:
            await ask(one, requests.NewOneToOneChat(to=other))
        places[one].append(Place(direct_id(one, other), peer=other))
        places[other].append(Place(direct_id(one, other), peer=one))
        readers[one].append(places[one][-1])
    devices: list[Device] = []
    for user, name in plan.devices:
        is_first = all(device.user != user for device in devices)
        token = tokens[user] if is_first else await accounts.log_in(targets[-1].http_url, user)
        device = Device(targets, history, user, name, token, is_narrow=name in plan.narrow)
        device.places = places[user]
        devices.append(device)
    return Setting(devices, readers, tokens)


async def _register(target: Target, plan: Plan) -> dict[str, str]:
    works = (accounts.register(target.http_url, user) for user in plan.users)
    return dict(zip(plan.users, await asyncio.gather(*works), strict=True))


def _create(group: GroupPlan) -> requests.CreateGroup:
    return requests.CreateGroup(
        name=group.name,
        members=group.members[1:],
        history=group.history,
        open=group.is_open,
    )
