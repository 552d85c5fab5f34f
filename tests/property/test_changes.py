"""A stateful model of edits, deletes, reactions, roles and members, on the embedded stores.

Whatever is asked, in whatever batches: the ledger answers what `changes_model.py` expects, a
fetched history shows it, and a client that applied the events has the same.
"""

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chatd.delivery.render import stored_push
from chatd.stores.ledger import Entry
from protocol.codec import encode
from protocol.model import Role
from protocol.requests import GetGroupChatHistory, GetOneToOneHistory
from tests.property.changes_model import Conversation
from tests.property.fold import Shown, apply, shown
from tests.support.builders import (
    NOW_MS,
    Core,
    Reader,
    core,
    create,
    direct,
    join,
    leave,
    post,
    principal,
)
from tests.support.changes import add, change_role, delete, edit, react, remove, update

USERS: Final = ("alice", "bob", "carol")
GROUP: Final = "7"
CHAT: Final = "alice-bob"


class Wish(NamedTuple):
    """Something that a user asks for; what does not matter for it is not looked at."""

    what: str
    who: str
    whom: str
    pick: int
    """Which event it is about."""
    version: int | None
    emoji: str
    flag: bool


wishes = st.builds(
    Wish,
    st.sampled_from(
        ["post"] * 3
        + ["edit", "edit", "delete", "react", "react", "role", "join", "leave", "add"]
        + ["remove", "rename"]
    ),
    st.sampled_from(USERS),
    st.sampled_from(USERS),
    st.integers(0, 60),
    st.none() | st.integers(1, 3),
    st.sampled_from("👍🎉"),
    st.booleans(),
)


class Fetched(NamedTuple):
    """What a user fetched, and when."""

    username: str
    conversation: Conversation
    head: int
    floor: int
    state: Shown


class Changes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._runner = self._stack.enter_context(asyncio.Runner())
        opened = core(folder, *USERS)
        self.here: Core = self._run(opened.__aenter__())
        self._stack.callback(lambda: self._run(opened.__aexit__(None, None, None)))
        self.readers: dict[str, Reader] = {
            username: self._run(self.here.connect(username)) for username in USERS
        }
        self._run(self.here.submit(create(GROUP, "alice", ["bob"], is_open=True)))
        roles = {"alice": Role.ADMIN, "bob": Role.MEMBER}
        self.group = Conversation(GROUP, roles, 1)
        self.group.name = f"group {GROUP}"
        self.chat = Conversation(CHAT, dict.fromkeys(("alice", "bob"), Role.MEMBER), 0)
        self.fetched: list[Fetched] = []
        self.texts = 0

    @rule(in_group=st.booleans(), together=st.lists(wishes, min_size=1, max_size=6))
    def happen(self, in_group: bool, together: list[Wish]) -> None:
        """Users ask for things; all of it is one call of the ledger."""
        conversation = self.group if in_group or not self.chat.head else self.chat
        entries: list[Entry] = []
        expected = []
        for wish in together:
            entries.append(self._entry(conversation, wish))
            expected.append(conversation.expect(entries[-1]))
        outcomes = self._run(self.here.submit(*entries))
        found = [(one.code, one.seq, one.version, one.duplicate) for one in outcomes]
        assert found == [(one.code, one.seq, one.version, one.duplicate) for one in expected]

    @rule(username=st.sampled_from(("alice", "bob")))
    def say(self, username: str) -> None:
        """The chat begins, or goes on."""
        self.texts += 1
        to = "bob" if username == "alice" else "alice"
        entry = direct(username, to, f"text {self.texts};")
        assert self.chat.expect(entry).seq == self._run(self.here.submit(entry))[0].seq

    @rule(username=st.sampled_from(USERS), in_group=st.booleans())
    def fetch(self, username: str, in_group: bool) -> None:
        conversation = self.group if in_group else self.chat
        if username in conversation.roles and conversation.head:
            state = self._run(self._fetch(conversation, username))
            floor = conversation.floors[username]
            self.fetched.append(Fetched(username, conversation, conversation.head, floor, state))

    # What must be so.

    @invariant()
    def members_and_names_are_as_expected(self) -> None:
        members = self._run(self.here.store.members(GROUP, after="", limit=10))
        assert {member.username: member.role for member in members} == self.group.roles
        for username in self.group.roles:
            summary = self._run(self.here.store.summary(GROUP, username))
            assert (summary.name, summary.member_count) == (self.group.name, len(members))
            assert summary.head == self.group.head

    @invariant()
    def histories_show_what_became_of_the_messages(self) -> None:
        for conversation in (self.group, self.chat):
            for username in conversation.roles:
                state = self._run(self._fetch(conversation, username))
                self._check_state(conversation, username, state)
                assert state == self._folded(conversation, username), "as a client has it"

    def teardown(self) -> None:
        try:
            for conversation in (self.group, self.chat):
                self._check_log(conversation)
            for fetched in self.fetched:
                self._check_replay(fetched)
        finally:
            self._stack.close()

    def _check_state(self, conversation: Conversation, username: str, state: Shown) -> None:
        floor = conversation.floors[username]
        found = {message["seq"]: message for message in state.values()}
        assert found.keys() == {seq for seq in conversation.messages if seq > floor}
        for seq, message in found.items():
            said = conversation.messages[seq]
            assert (message["from"], message["content"]) == (said.author, said.content)
            assert message["version"] == said.version
            assert message.get("deleted", False) is (said.deleted_seq is not None)
            reactions: dict[str, list[str]] = {}
            for emoji, user in said.reactions:
                reactions.setdefault(emoji, []).append(user)
            assert message.get("reactions", {}) == reactions

    def _check_log(self, conversation: Conversation) -> None:
        """Every number is there, and nothing that was deleted."""
        frames = self._run(self._stored(conversation, 0))
        assert [frame["seq"] for frame in frames] == list(range(1, conversation.head + 1))
        said = {frame.get("content") for frame in frames}
        assert not said & conversation.gone
        for username in conversation.roles:
            state: Shown = {}
            for frame in frames:
                if frame["seq"] > conversation.floors[username]:
                    apply(state, frame, username)
            assert state == self._run(self._fetch(conversation, username))

    def _check_replay(self, fetched: Fetched) -> None:
        """What was fetched, with the events since, is what is fetched now."""
        conversation, username, state = fetched.conversation, fetched.username, fetched.state
        if username not in conversation.roles or fetched.floor != conversation.floors[username]:
            return
        for frame in self._run(self._stored(conversation, fetched.head)):
            apply(state, frame, username)
        assert state == self._run(self._fetch(conversation, username))

    # How it is done.

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)

    def _entry(self, conversation: Conversation, wish: Wish) -> Entry:
        self.texts += 1
        text, at_ms = f"text {self.texts};", NOW_MS + self.texts
        conversation_id, who, whom = conversation.conversation_id, wish.who, wish.whom
        at = conversation.place(wish.pick)
        match wish.what:
            case "post" if conversation.is_group:
                return post(conversation_id, who, text, at_ms=at_ms)
            case "post":
                who = who if who in conversation.roles else "bob"
                return direct(who, "alice" if who == "bob" else "bob", text, at_ms=at_ms)
            case "edit":
                return edit(at, who, text, version=wish.version, at_ms=at_ms)
            case "delete":
                return delete(at, who, at_ms=at_ms)
            case "react":
                return react(at, who, wish.emoji, remove=wish.flag, at_ms=at_ms)
            case "role":
                role = Role.ADMIN if wish.flag else Role.MEMBER
                return change_role(conversation_id, who, whom, role)
            case "join":
                return join(conversation_id, who)
            case "leave":
                return leave(conversation_id, who)
            case "add":
                return add(conversation_id, who, whom)
            case "remove":
                return remove(conversation_id, who, whom)
            case _:
                return update(conversation_id, who, name=text)

    async def _fetch(self, conversation: Conversation, username: str) -> Shown:
        """All that the user may read."""
        caller, state = principal(username), Shown()
        after, has_more = 0, bool(conversation.head)
        while has_more:
            page: Any
            if conversation.is_group:
                page = await self.here.histories.group(
                    caller, GetGroupChatHistory(group_id=GROUP, after=after, limit=7)
                )
            else:
                page = await self.here.histories.direct(
                    caller, GetOneToOneHistory(chat_id=CHAT, after=after, limit=7)
                )
            assert page.head_seq == conversation.head
            state |= shown(page.messages)
            after, has_more = page.messages[-1].seq if page.messages else 0, page.has_more
        return state

    async def _stored(self, conversation: Conversation, after: int) -> list[dict[str, Any]]:
        """The events after a number as the frames that a client would be sent now."""
        events = await self.here.ledger.read(
            conversation.conversation_id, after=after, limit=10_000
        )
        frames = [encode(stored_push(event, offline=True)) for event in events]
        return [msgspec.json.decode(frame) for frame in frames]

    def _folded(self, conversation: Conversation, username: str) -> Shown:
        """What the user's connection makes of all that it was sent."""
        state: Shown = {}
        for frame in self.readers[username].frames():
            if conversation.conversation_id in (frame.get("chatId"), frame.get("groupId")):
                apply(state, frame, username)
        return state


@pytest.mark.slow
def test_changes_in_any_order() -> None:
    run_state_machine_as_test(
        Changes,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            # No shrinking: what an example leads to is seen in the assertion.
            phases=(Phase.explicit, Phase.generate),
        ),
    )
