"""Users of every standing towards one group and one direct conversation, for tables of who may
what."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final, NamedTuple

from testclients.client import ChatClient
from tests.e2e.frames import Place, Posted, chat, club, post
from tests.e2e.rest import add, block, remove
from tests.e2e.town import Resident, Town
from tests.support.node import Node


class Standing(StrEnum):
    STRANGER = "stranger"
    EX_MEMBER = "ex-member"
    BLOCKED = "blocked"
    """By the admin; a plain member of the group."""
    MEMBER = "member"
    ADMIN = "admin"


STANDINGS: Final = tuple(Standing)


class Actor(NamedTuple):
    """A user and what it may try things on."""

    who: Resident
    client: ChatClient
    peer: Resident
    """The admin; to the admin the member."""
    direct: Place
    """The chat with the peer; for those who have none, that of the admin and the member."""
    own_in_chat: Posted
    """A message of its own there, if it has any."""
    others_in_chat: Posted
    own_in_group: Posted
    others_in_group: Posted
    """By the admin; to the admin by the member."""


class Cast(NamedTuple):
    town: Town
    group: Place
    """Not open. The admin is its only one."""
    open_group: Place
    """Of the same; the ex-member was removed from it too."""
    extra: Resident
    """A plain member of the group who does nothing."""
    outsider: Resident
    """In neither group."""
    actors: dict[Standing, Actor]


@asynccontextmanager
async def cast(node: Node) -> AsyncIterator[Cast]:
    async with Town(node) as town:
        *people, extra, outsider = await town.settle_all(*["actor"] * 7)
        clients = [await town.connect(who, positions=None) for who in people]
        who = dict(zip(STANDINGS, people, strict=True))
        here = dict(zip(STANDINGS, clients, strict=True))
        admin, member, blocked = (
            here[one] for one in (Standing.ADMIN, Standing.MEMBER, Standing.BLOCKED)
        )
        former = here[Standing.EX_MEMBER]
        places: list[Place] = []
        for is_open in (False, True):
            place = await club(admin, member, blocked, former, open=is_open)
            places.append(place)
        group, open_group = places
        in_group = await post_all(group, admin, member, blocked, former)
        with_member = chat(admin, member)
        with_blocked = chat(admin, blocked)
        of_chat = await post_all(with_member, admin, member)
        of_blocked = await post_all(with_blocked, admin, blocked)
        for place in places:
            await remove(town, who[Standing.ADMIN], place, who[Standing.EX_MEMBER])
            await add(town, who[Standing.ADMIN], place, extra)
        await block(town, who[Standing.ADMIN], who[Standing.BLOCKED])
        actors = {
            standing: Actor(
                who=who[standing],
                client=here[standing],
                peer=who[Standing.MEMBER if standing is Standing.ADMIN else Standing.ADMIN],
                direct=with_blocked if standing is Standing.BLOCKED else with_member,
                own_in_chat=(of_blocked if standing is Standing.BLOCKED else of_chat).get(
                    here[standing], of_chat[admin]
                ),
                others_in_chat=of_blocked[admin]
                if standing is Standing.BLOCKED
                else of_chat[member if standing is Standing.ADMIN else admin],
                own_in_group=in_group.get(here[standing], in_group[admin]),
                others_in_group=in_group[member if standing is Standing.ADMIN else admin],
            )
            for standing in STANDINGS
        }
        yield Cast(town, group, open_group, extra, outsider, actors)


async def post_all(place: Place, *clients: ChatClient) -> dict[ChatClient, Posted]:
    """A message of each."""
    return {client: await post(client, place, f"by {client.user}") for client in clients}
