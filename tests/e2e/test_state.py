"""State plus events equals fetched state: from any point of any history of a group."""

import asyncio
import random
from collections import Counter
from http.client import HTTPException
from typing import Any, Final

import pytest

from protocol.model import HistoryMessage, HistoryVisibility, Role
from protocol.pushes import (
    GroupChatHistory,
    GroupMemberJoined,
    GroupMemberLeft,
    ServerFrame,
    Success,
)
from testclients.client import ChatClient
from testclients.errors import ConnectionLost, RequestFailed
from testclients.fold import Fold
from tests.e2e import frames, rest
from tests.e2e.frames import Place, event_seq, history, is_in
from tests.e2e.rest import done, group_path
from tests.e2e.test_accounts import Reply
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run, until
from tests.support.node import Node

STEPS: Final = 40
EMOJIS: Final = ("👍", "❤️", "🎉")
PAGE: Final = 7


class Player:
    """A user who acts on one connection and listens on another."""

    def __init__(self, who: Resident, here: ChatClient, listening: ChatClient) -> None:
        self.who = who
        self.here = here
        self._listening = listening
        self.heard: list[ServerFrame] = []
        """The events of the group, as the other connection was sent them."""
        self.is_in = True

    async def listen(self, place: Place) -> None:
        for frame in await everything(self._listening):
            if is_in(frame, place) and event_seq(frame) is not None:
                self.heard.append(frame)
                if isinstance(frame, GroupMemberJoined | GroupMemberLeft):
                    if frame.username == self.who.name:
                        self.is_in = isinstance(frame, GroupMemberJoined)

    def after(self, head: int) -> list[Any]:
        return [frame for frame in self.heard if (event_seq(frame) or 0) > head]


class Game:
    """Random moves of three users in a group; what a rule forbids is refused and is no event."""

    def __init__(self, town: Town, place: Place, players: list[Player], seed: int) -> None:
        self.town = town
        self.place = place
        self.players = players
        self.granted: Counter[str] = Counter()
        self.highest = 0
        """The last number that was acked."""
        self._random = random.Random(seed)
        self._messages: list[str] = []

    async def step(self, player: Player) -> None:
        """One move, granted or refused."""
        moves = [self._post, self._edit, self._delete, self._react, self._unreact]
        moves += [self._role, self._rename, self._add, self._remove]
        weights = [8, 4, 2, 4, 2, 3, 3, 6, 2] if self._messages else [1] + [0] * 8
        (move,) = self._random.choices(moves, weights)
        try:
            reply = await move(player)
        except RequestFailed:
            return
        if isinstance(reply, Reply):
            if reply.status >= 400:
                return
            seq = reply.json.get("seq", 0) if reply.body else 0
        else:
            seq = reply.seq or 0
        self.highest = max(self.highest, seq)
        self.granted[move.__name__] += 1

    async def _post(self, player: Player) -> Reply | Success:
        request = frames.posting(player.here, self.place, f"said {self._random.random()}")
        if self._messages and self._random.random() < 0.3:
            request = frames.replaced(
                request, reply_to=self._pick(), mentions=[self._other().who.name]
            )
        reply = await frames.ask(player.here, request)
        self._messages.append(reply.id or "")
        return reply

    async def _edit(self, player: Player) -> Reply | Success:
        content = f"edited {self._random.random()}"
        return await frames.edit(player.here, self.place, self._pick(), content)

    async def _delete(self, player: Player) -> Reply | Success:
        return await frames.delete(player.here, self.place, self._pick())

    async def _react(self, player: Player) -> Reply | Success:
        emoji = self._random.choice(EMOJIS)
        return await frames.react(player.here, self.place, self._pick(), emoji)

    async def _unreact(self, player: Player) -> Reply | Success:
        emoji = self._random.choice(EMOJIS)
        return await frames.react(player.here, self.place, self._pick(), emoji, remove=True)

    async def _role(self, player: Player) -> Reply | Success:
        role = self._random.choice(list(Role)).value
        path = group_path(self.place, "members", self._other().who.name)
        return await rest.rest(self.town, "PATCH", path, player.who, {"role": role})

    async def _rename(self, player: Player) -> Reply | Success:
        field = self._random.choice(["name", "topic", "avatarUrl"])
        text = f"https://x.example/{self._random.random()}"
        body = {field: text if field == "name" or self._random.random() < 0.6 else ""}
        return await rest.rest(self.town, "PATCH", group_path(self.place), player.who, body)

    async def _add(self, player: Player) -> Reply | Success:
        body = {"username": self._other().who.name}
        return await rest.rest(
            self.town, "POST", group_path(self.place, "members"), player.who, body
        )

    async def _remove(self, player: Player) -> Reply | Success:
        # The founder stays, so that the game goes on.
        other = self._random.choice(self.players[1:])
        path = group_path(self.place, "members", other.who.name)
        return await rest.rest(self.town, "DELETE", path, player.who)

    def _pick(self) -> str:
        # Rather one of the last ones, so that there is more than one change of a message.
        return self._random.choice(self._messages[-8:])

    def _other(self) -> Player:
        return self._random.choice(self.players)


async def begin(town: Town, seed: int) -> Game:
    residents = await town.settle_all("ann", "ben", "cat")
    players = [
        Player(who, await town.connect(who, positions=None), await town.connect(who))
        for who in residents
    ]
    made = await players[0].here.create_group(
        "club",
        [who.name for who in residents[1:]],
        history=HistoryVisibility.ALL if seed % 2 else HistoryVisibility.JOINED,
    )
    return Game(town, Place(group_id=made.group_id), players, seed)


async def pages(player: Player, place: Place) -> list[GroupChatHistory]:
    """All the player may read, newest page first."""
    found: list[GroupChatHistory] = []
    before = None
    while True:
        page = await history(player.here, place, before=before, limit=PAGE)
        assert isinstance(page, GroupChatHistory)
        found.append(page)
        if not page.has_more:
            return found
        before = page.messages[0].seq


async def fetch(game: Game, player: Player) -> Fold:
    """The state as the server tells it now, to a member."""
    (group,) = (await player.here.init_data()).groups
    page = await done(game.town, "GET", group_path(game.place, "members"), player.who)
    members = {one["username"]: Role(one["role"]) for one in page["members"]}
    assert group.role is members[player.who.name] and group.member_count == len(members)
    state = Fold.of_pages(await pages(player, game.place), group=group, members=members)
    assert state.head == group.last_seq
    shown = await done(game.town, "GET", group_path(game.place), player.who)
    assert (shown["name"], shown["topic"], shown["avatarUrl"], shown["lastSeq"]) == (
        group.name,
        group.topic,
        group.avatar_url,
        group.last_seq,
    )
    return state


def picture(state: Fold) -> tuple[object, ...]:
    """All that a state says."""
    messages: list[HistoryMessage] = list(state.messages.values())
    return state.head, state.name, state.topic, state.avatar_url, state.members, messages


@pytest.mark.parametrize("seed", range(15))
def test_events_lead_to_what_is_fetched(seed: int, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            game = await begin(town, seed)
            chance = random.Random(seed)
            # The founder's state is made of events alone; the others fetch theirs at some time.
            states: dict[Player, Fold] = {game.players[0]: Fold()}
            resumed: dict[Player, Fold] = {}
            while game.granted.total() < STEPS:
                await game.step(*chance.choices(game.players, (3, 2, 2)))
                for player in game.players:
                    await player.listen(game.place)
                    if not player.is_in:
                        states.pop(player, None)
                        resumed.pop(player, None)
                    elif player not in states and chance.random() < 0.2:
                        for kind in (states, resumed):
                            kind[player] = await fetch(game, player)
            for player, state in states.items():
                state.apply_all(player.after(state.head))
                fetched = await fetch(game, player)
                assert picture(state) == picture(fetched)
            # The same from the log: events of what was deleted since say nothing any more.
            for player, state in resumed.items():
                late = await town.connect(player.who, resumes=True)
                came, _ = await frames.resume(late, {game.place.id: state.head})
                state.apply_all(frame for frame in came if event_seq(frame) is not None)  # type: ignore[misc]
                assert picture(state) == picture(states[player])

    run(main())


@pytest.mark.parametrize("seed", range(3))
def test_pages_fetched_while_it_goes_on(seed: int, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            game = await begin(town, seed)
            watcher = game.players[0]
            states: list[Fold] = []

            async def play(player: Player) -> None:
                while game.granted.total() < 2 * STEPS:
                    await game.step(player)

            async def look() -> None:
                while True:
                    states.append(Fold.of_pages(await pages(watcher, game.place)))

            acting = asyncio.gather(*map(play, game.players))
            looking = asyncio.create_task(look())
            await acting
            looking.cancel()
            await asyncio.wait([looking])
            assert looking.cancelled()
            await watcher.listen(game.place)
            fetched = Fold.of_pages(await pages(watcher, game.place))
            assert len(states) > 5 and fetched.head > STEPS
            for state in states:
                state.apply_all(watcher.after(state.head))
                assert (state.head, state.messages) == (fetched.head, fetched.messages)

    run(main())


def test_after_a_kill_the_log_and_the_state_are_one(node: Node) -> None:
    """Every change and its event are one commit."""

    async def before(seed: int) -> tuple[Resident, Place, int]:
        async with Town(node) as town:
            game = await begin(town, seed)
            acting = [asyncio.create_task(play(game, player)) for player in game.players]
            await until(lambda: game.granted.total() > STEPS, "it is under way")
            node.kill()
            await asyncio.wait(acting)
            return game.players[0].who, game.place, game.highest

    async def play(game: Game, player: Player) -> None:
        try:
            while True:
                await game.step(player)
        except (ConnectionLost, OSError, HTTPException):
            return

    async def after(who: Resident, place: Place, highest: int) -> None:
        async with Town(node) as town:
            here = await town.connect(who, resumes=True)
            player = Player(who, here, here)
            came, _ = await frames.resume(here, {place.id: 0})
            state = Fold()
            state.apply_all(frame for frame in came if event_seq(frame) is not None)  # type: ignore[misc]
            assert state.head >= highest > 0
            assert picture(state) == picture(await fetch(Game(town, place, [player], 0), player))

    for seed in range(3):
        found = run(before(seed))
        node.start()
        run(after(*found))
