"""kill -9 under load: nothing that was acked or told is lost, nothing is there twice."""

import asyncio
from typing import Final, NamedTuple

from protocol import requests
from protocol.model import HistoryMessage
from protocol.pushes import (
    GroupChat,
    GroupChatHistory,
    OneToOneChat,
    OneToOneChatHistory,
    Success,
)
from testclients.client import ChatClient
from testclients.errors import ConnectionLost
from tests.e2e.town import Resident, Town, chat_of
from tests.support.loop import run, until
from tests.support.node import Node

UNDER_WAY: Final = 64
"""Posts of a sender that await their acks."""
ROUNDS: Final = (1, 300, 900, 1_500)
"""After how many acks of its load the node is killed."""


class Place(NamedTuple):
    seq: int
    id: str


class Sender:
    """A user, its posts in one conversation, and what it knows of them."""

    def __init__(self, who: Resident, conversation: str, to: str | None) -> None:
        """`to`: the other user of a direct conversation."""
        self.who = who
        self.conversation = conversation
        self._to = to
        self.posts: dict[str, str] = {}
        """What was sent, by clientMsgId."""
        self.acked: dict[str, Place] = {}
        self.heard: dict[str, Place] = {}
        """What it was told of others' posts, by clientMsgId."""

    def request(self, key: str) -> requests.Request:
        if self._to is None:
            return requests.GroupChat(
                group_id=self.conversation, content=self.posts[key], client_msg_id=key
            )
        return requests.OneToOneChat(to=self._to, content=self.posts[key], client_msg_id=key)

    async def pour(self, client: ChatClient) -> None:
        """Post as fast as the acks come, until the connection is lost."""
        room = asyncio.Semaphore(UNDER_WAY)

        async def listen() -> None:
            try:
                while True:
                    frame = await client.next_push(timeout=None)
                    if isinstance(frame, Success):
                        self.note_ack(frame)
                        room.release()
                    elif isinstance(frame, OneToOneChat | GroupChat):
                        assert frame.client_msg_id is not None
                        self.heard[frame.client_msg_id] = Place(frame.seq, frame.id)
            except ConnectionLost:
                room.release()

        listening = asyncio.create_task(listen())
        try:
            while not listening.done():
                await room.acquire()
                key = f"{self.who.name}.{len(self.posts)}"
                self.posts[key] = f"content of {key}"
                await client.send(self.request(key))
        except ConnectionLost:
            pass
        await listening

    def note_ack(self, ack: Success) -> None:
        assert ack.client_msg_id is not None and ack.id is not None and ack.seq is not None
        self.acked[ack.client_msg_id] = Place(ack.seq, ack.id)


async def settle(node: Node) -> list[Sender]:
    """Four who write to a group, and two who write to each other."""
    async with Town(node) as town:
        members = await town.settle_all(*(["member"] * 4))
        founder = await town.connect(members[0])
        made = await founder.create_group("busy", [member.name for member in members[1:]])
        assert made.group_id is not None
        ann, ben = await town.settle_all("ann", "ben")
        await (await town.connect(ann)).open_chat(ben.name)
        return [
            *(Sender(member, made.group_id, None) for member in members),
            Sender(ann, chat_of(ann, ben), ben.name),
            Sender(ben, chat_of(ann, ben), ann.name),
        ]


async def kill_under_load(node: Node, senders: list[Sender], acks: int) -> None:
    async with Town(node) as town:
        clients = [await town.connect(sender.who) for sender in senders]
        enough = sum(len(sender.acked) for sender in senders) + acks
        pouring = asyncio.gather(
            *(sender.pour(client) for sender, client in zip(senders, clients, strict=True))
        )
        await until(lambda: sum(len(sender.acked) for sender in senders) >= enough, f"{acks} acks")
        node.kill()
        await pouring


async def stored(node: Node, sender: Sender) -> list[HistoryMessage]:
    """The whole history of the sender's conversation."""
    async with Town(node) as town:
        client = await town.connect(sender.who)
        conversation = sender.conversation
        found: list[HistoryMessage] = []
        while True:
            after = found[-1].seq if found else 0
            page = await client.request(
                requests.GetGroupChatHistory(group_id=conversation, after=after, limit=200)
                if conversation.isdecimal()
                else requests.GetOneToOneHistory(chat_id=conversation, after=after, limit=200)
            )
            assert isinstance(page, GroupChatHistory | OneToOneChatHistory)
            found += page.messages
            if not page.has_more:
                return found


def check(history: list[HistoryMessage], senders: list[Sender]) -> dict[str, Place]:
    """The promises, for one conversation; what is stored, by clientMsgId."""
    first = 2 if history and history[0].group_id else 1
    assert [message.seq for message in history] == list(range(first, first + len(history)))
    assert [message.prev for message in history] == list(range(first - 1, first - 1 + len(history)))
    posts = {key: content for sender in senders for key, content in sender.posts.items()}
    places: dict[str, Place] = {}
    for message in history:
        key = message.client_msg_id
        assert key is not None
        assert key not in places, "nothing is stored twice"
        assert message.content == posts[key]
        assert message.from_ == key.partition(".")[0]
        places[key] = Place(message.seq, message.id)
    for sender in senders:
        assert sender.acked.items() <= places.items(), "what was acked is stored, at its place"
        assert sender.heard.items() <= places.items(), "nobody was told what is not stored"
        in_order = sorted(sender.acked.values())
        assert in_order == list(sender.acked.values()), "a sender's posts are numbered in order"
    return places


async def send_the_rest(node: Node, sender: Sender, before: dict[str, Place]) -> None:
    """Send everything unacked again: each is answered with its place, the old one if it has one."""
    async with Town(node) as town:
        # What it repeats is among what it missed: it gets the push and the ack of the repeat.
        client = await town.connect(sender.who, positions=None)
        for key in [key for key in sender.posts if key not in sender.acked]:
            ack = await client.request(sender.request(key))
            assert isinstance(ack, Success)
            sender.note_ack(ack)
            assert ack.duplicate is (key in before)
            if key in before:
                assert sender.acked[key] == before[key]


def test_acked_is_stored_whenever_the_node_is_killed(own_node: Node) -> None:
    senders = run(settle(own_node))
    conversations = {sender.conversation for sender in senders}
    for acks in ROUNDS:
        run(kill_under_load(own_node, senders, acks))
        own_node.start()
        for conversation in conversations:
            those = [sender for sender in senders if sender.conversation == conversation]
            before = check(run(stored(own_node, those[0])), those)
            for sender in those:
                run(send_the_rest(own_node, sender, before))
            after = check(run(stored(own_node, those[-1])), those)
            assert before.items() <= after.items(), "nothing has moved"
            assert after.keys() == {key for sender in those for key in sender.posts}
            assert all(sender.acked.keys() == sender.posts.keys() for sender in those)
    assert own_node.stop() == 0
    assert own_node.complaints == []
