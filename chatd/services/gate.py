"""Between the services and the journal: what is for a user or a group that nobody has is turned
away without asking the ledger, and a group's name enters the name filter before the group is made.

Entries for one user or group keep their order: while it is found out whether the name is there,
what else is for it waits. A conversation that somebody is heard in on this node is there: its
entries go straight on.
"""

import asyncio
from collections.abc import Container
from typing import Final

from loguru import logger

from chatd.errors import BackendError, ChatError
from chatd.fabric.name_filter import NameFilter, of_user
from chatd.services.journal import Journal
from chatd.stores.ledger import Entry, Outcome
from chatd.tasks import TaskOwner
from protocol.errors import ErrorCode

_DRAIN_SECONDS: Final = 5.0
_UNAVAILABLE: Final = Outcome(ErrorCode.UNAVAILABLE)


class Gate:
    def __init__(self, journal: Journal, names: NameFilter, known: Container[str]) -> None:
        """`known` are ids of conversations that are there."""
        self._journal = journal
        self._names = names
        self._known = known
        self._held: dict[str, list[tuple[Entry, Outcome]]] = {}
        """Entries for names that are being looked up, and what they are told if nobody has them."""
        self._tasks = TaskOwner()

    def to_user(self, entry: Entry, username: str) -> None:
        """Submit an entry that makes the direct conversation with a user if it is not there, or
        answer NO_SUCH_USER.

        Raises:
            ChatError: as of Journal.submit.
        """
        if not self._held and entry.conversation_id in self._known:
            self._journal.submit(entry)
            return
        self._watch(entry, username)
        self._submit(entry, of_user(username), Outcome(ErrorCode.NO_SUCH_USER, username))

    def to_group(self, entry: Entry) -> None:
        """Submit an entry for a group, or answer NOT_A_MEMBER.

        Raises:
            ChatError: as of Journal.submit.
        """
        if not self._held and entry.conversation_id in self._known:
            self._journal.submit(entry)
            return
        self._submit(entry, entry.conversation_id, Outcome(ErrorCode.NOT_A_MEMBER))

    def make_group(self, entry: Entry) -> None:
        """Submit the event that makes a group; `entry.done` gets the outcome."""
        self._tasks.start(self._make(entry), name="group")

    async def append_group(self, entry: Entry) -> Outcome:
        """As `make_group`, for a caller who waits for the outcome."""
        made: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def answered(_: Entry, outcome: Outcome) -> None:
            if not made.done():
                made.set_result(outcome)

        entry.done = answered
        await self._make(entry)
        return await made

    async def drain(self) -> None:
        """Wait until nothing is held back any more; not for long."""
        await self._tasks.finish(_DRAIN_SECONDS)

    def _submit(self, entry: Entry, name: str, refused: Outcome) -> None:
        held = self._held.get(name)
        if held is not None:
            held.append((entry, refused))
        elif entry.conversation_id in self._known or not self._names.seems_absent(name):
            self._journal.submit(entry)
        else:
            self._held[name] = [(entry, refused)]
            self._tasks.start(self._look_up(name), name="name")

    async def _look_up(self, name: str) -> None:
        is_absent = False
        try:
            is_absent = await self._names.is_absent(name)
        finally:
            for entry, refused in self._held.pop(name):
                if is_absent:
                    _answer(entry, refused)
                else:
                    self._pass(entry)

    async def _make(self, entry: Entry) -> None:
        made = asyncio.Event()
        done = entry.done

        def answered(_: Entry, outcome: Outcome) -> None:
            made.set()
            if done is not None:
                done(entry, outcome)

        entry.done = answered
        try:
            async with self._names.entering(entry.conversation_id):
                self._pass(entry)
                await made.wait()
        except BackendError as error:
            logger.warning("a group could not be made: {}", error)
            if not made.is_set():
                _answer(entry, _UNAVAILABLE)

    def _pass(self, entry: Entry) -> None:
        try:
            self._journal.submit(entry)
        except ChatError as error:
            _answer(entry, Outcome(error.code))

    def _watch(self, entry: Entry, username: str) -> None:
        """Hear of it when the name filter let through what the ledger refuses."""
        done = entry.done

        def answered(_: Entry, outcome: Outcome) -> None:
            if outcome.code is ErrorCode.NO_SUCH_USER:
                self._names.asked_in_vain(username)
            if done is not None:
                done(entry, outcome)

        entry.done = answered


def _answer(entry: Entry, outcome: Outcome) -> None:
    if entry.done is not None:
        try:
            entry.done(entry, outcome)
        except Exception:
            logger.exception("the answer to an entry failed")
