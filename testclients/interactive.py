"""The chat for a person: a list to choose from, a conversation, commands with a slash."""

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from protocol.limits import HISTORY_PAGE
from protocol.model import HistoryMessage, PresenceStatus
from protocol.pushes import GroupCreated, PresenceUpdate, ServerFrame
from testclients import render
from testclients.client import ChatClient
from testclients.conversations import (
    Ambiguous,
    Conversation,
    Direct,
    Group,
    UnknownGroup,
    find_group,
    post,
)
from testclients.errors import Overdue, RequestFailed, first_of_group
from testclients.options import EXIT_OK, Options
from testclients.screen import Screen

HISTORY_SHOWN: Final = 20


class Refusal(Exception):
    """What was typed cannot be done; it says what can."""


class Interactive:
    def __init__(self, client: ChatClient, options: Options, screen: Screen) -> None:
        self._client = client
        self._options = options
        self._screen = screen
        self._view = render.View(client.user)
        self._offered: list[Conversation] = []
        """What the numbers of the last list stand for, from 1."""
        self._presence: dict[str, PresenceStatus] = {}
        """What was last shown, so that only changes are."""
        self._is_over = False

    async def run(self) -> int:
        """Until the user ends it. Returns the exit code.

        Raises:
            ClientError: the connection was lost.
        """
        self._screen.show(f"logged in as {self._client.user}; /help lists the commands")
        try:
            await self._converse()
        finally:
            # Ctrl-C is a way to leave, too: what has come until now was shown, or is now.
            await self._client.close()
            for frame in self._client.take_all():
                self._show_push(frame)
        return EXIT_OK

    async def _converse(self) -> None:
        with first_of_group():
            async with asyncio.TaskGroup() as tasks:
                await self._begin()
                printer = tasks.create_task(self._print_pushes())
                while not self._is_over:
                    line = await self._screen.read(self._prompt())
                    if line is None:
                        break
                    await self._attempt(self._take(line))
                printer.cancel()

    async def _begin(self) -> None:
        await self._attempt(self.show_list(""))
        if self._options.to is not None:
            await self._attempt(self.talk_to(self._options.to))
        elif self._options.group is not None:
            await self._attempt(self.talk_in(self._options.group))

    async def _attempt(self, deed: Awaitable[None]) -> None:
        """Do what was typed; if it is refused, say so and go on."""
        try:
            await deed
        except (RequestFailed, Ambiguous, UnknownGroup, Overdue, Refusal) as error:
            self._screen.show(f"! {render.plain(str(error))}")

    async def _take(self, line: str) -> None:
        if line.startswith("/") and not line.startswith("//"):
            await self._command(line[1:])
        elif not line.strip():
            return
        elif self._view.here is not None:
            await self._send(self._view.here, line[1:] if line.startswith("//") else line)
        elif line.strip().isdecimal():
            await self._choose(int(line))
        else:
            raise Refusal("choose a conversation first: its number, /to USER or /group NAME")

    async def _command(self, typed: str) -> None:
        word, _, rest = typed.partition(" ")
        command = COMMANDS.get(word)
        if command is not None:
            await command.run(self, rest.strip())
        elif word.isdecimal():
            await self._choose(int(word))
        else:
            raise Refusal(
                f"there is no /{word}, see /help; for a message with a slash in front type two"
            )

    async def _choose(self, number: int) -> None:
        if not 1 <= number <= len(self._offered):
            raise Refusal(f"the list has no {number}")
        await self._open(self._offered[number - 1])

    async def _open(self, conversation: Conversation) -> None:
        messages = await self._fetch(conversation, HISTORY_SHOWN)
        self._view.here = conversation
        self._screen.show(f"--- {self._describe(conversation)} ---")
        self._show_past(messages)
        if isinstance(conversation, Direct):
            try:
                await self._client.subscribe_presence([conversation.peer])
            except RequestFailed as error:
                self._screen.show(f"* no news of who is online here: {render.plain(str(error))}")

    async def _fetch(self, conversation: Conversation, limit: int) -> list[HistoryMessage]:
        if isinstance(conversation, Group):
            return (await self._client.history_group(conversation.group_id, limit=limit)).messages
        page = await self._client.history_direct(conversation.peer, limit=limit)
        self._presence[conversation.peer] = _status(page.is_online)
        return page.messages

    async def _send(self, here: Conversation, text: str) -> None:
        try:
            ack = await post(self._client, here, text)
        except (RequestFailed, Overdue):
            self._screen.show(f"! not sent: {render.plain(text)}")
            raise
        at_ms = _now_ms() if ack.sent_at is None else ack.sent_at
        self._screen.show(render.spoken(self._client.user, text, at_ms, _now_ms(), self._view))

    async def show_help(self, rest: str) -> None:
        width = max(len(command.usage) for command in COMMANDS.values())
        for command in COMMANDS.values():
            self._screen.show(f"  {command.usage:{width}}  {command.help}")

    async def show_list(self, rest: str) -> None:
        data = await self._client.init_data()
        self._offered = [
            *(Direct(chat.peer) for chat in data.chats),
            *(Group(group.group_id, group.name) for group in data.groups),
        ]
        self._presence |= {chat.peer: _status(chat.is_online) for chat in data.chats}
        self._view.group_names |= {group.group_id: group.name for group in data.groups}
        for line in render.listing(data.chats, data.groups, data.has_more, _now_ms(), self._view):
            self._screen.show(line)

    async def talk_to(self, rest: str) -> None:
        if not rest:
            raise Refusal("usage: /to USER")
        await self._open(Direct(rest))

    async def talk_in(self, rest: str) -> None:
        if not rest:
            raise Refusal("usage: /group NAME|ID")
        await self._open(find_group((await self._client.init_data()).groups, rest))

    async def show_history(self, rest: str) -> None:
        if rest and not (rest.isdecimal() and 1 <= int(rest) <= HISTORY_PAGE):
            raise Refusal(f"usage: /history [1-{HISTORY_PAGE}]")
        self._show_past(await self._fetch(self._current(), int(rest or HISTORY_SHOWN)))

    async def create(self, rest: str) -> None:
        try:
            words = shlex.split(rest)
        except ValueError as error:
            raise Refusal(str(error)) from None
        if not 1 <= len(words) <= 2:
            raise Refusal('usage: /create NAME [USER,USER]; "a name of several words" is quoted')
        members = [name for name in words[1].split(",") if name] if len(words) == 2 else []
        group_id = (await self._client.create_group(words[0], members)).group_id
        assert group_id is not None, "the reply to CREATE_GROUP has a groupId"
        self._view.group_names[group_id] = words[0]
        await self._open(Group(group_id, words[0]))

    async def join(self, rest: str) -> None:
        words = rest.split()
        if not 1 <= len(words) <= 2:
            raise Refusal("usage: /join ID [INVITE]")
        await self._client.join_group(*words)
        await self.talk_in(words[0])

    async def leave(self, rest: str) -> None:
        here = self._current()
        if not isinstance(here, Group):
            raise Refusal("only a group can be left")
        await self._client.leave_group(here.group_id)
        self._view.here = None
        self._screen.show(f"* you left {render.title(here)}")

    async def who(self, rest: str) -> None:
        here = self._view.here
        self._screen.show(
            f"you are {self._client.user}" + (f", in {self._describe(here)}" if here else "")
        )
        online = sorted(
            name for name, status in self._presence.items() if status is PresenceStatus.ONLINE
        )
        self._screen.show(
            f"online, as far as known: {', '.join(map(render.plain, online)) or 'nobody'}"
        )

    async def quit(self, rest: str) -> None:
        self._is_over = True

    def _current(self) -> Conversation:
        if self._view.here is None:
            raise Refusal("no conversation is chosen")
        return self._view.here

    def _describe(self, conversation: Conversation) -> str:
        name = render.title(conversation)
        if isinstance(conversation, Group):
            return f"{name} (group {render.plain(conversation.group_id)})"
        status = self._presence.get(conversation.peer, PresenceStatus.UNKNOWN)
        return name if status is PresenceStatus.UNKNOWN else f"{name} ({status.lower()})"

    def _prompt(self) -> str:
        return f"{render.title(self._view.here) if self._view.here else ''}> "

    def _show_past(self, messages: list[HistoryMessage]) -> None:
        for message in messages:
            self._screen.show(render.past(message, _now_ms(), self._view))

    async def _print_pushes(self) -> None:
        while True:
            self._show_push(await self._client.next_push(timeout=None))

    def _show_push(self, frame: ServerFrame) -> None:
        if isinstance(frame, GroupCreated):
            self._view.group_names[frame.group_id] = frame.name
        if isinstance(frame, PresenceUpdate):
            if self._presence.get(frame.username) is frame.status:
                return
            self._presence[frame.username] = frame.status
        as_text = (
            render.as_json(frame)
            if self._options.json
            else render.push(frame, _now_ms(), self._view)
        )
        self._screen.show(as_text)


class Command(NamedTuple):
    usage: str
    help: str
    run: Callable[[Interactive, str], Awaitable[None]]


COMMANDS: Final[dict[str, Command]] = {
    "help": Command("/help", "this list", Interactive.show_help),
    "list": Command(
        "/list",
        "your chats and groups; then a number, or /NUMBER, chooses one",
        Interactive.show_list,
    ),
    "to": Command("/to USER", "talk to a user", Interactive.talk_to),
    "group": Command("/group NAME|ID", "talk in a group of yours", Interactive.talk_in),
    "history": Command("/history [N]", "the last messages again", Interactive.show_history),
    "create": Command("/create NAME [USER,USER]", "a new group", Interactive.create),
    "join": Command("/join ID [INVITE]", "a group that others made", Interactive.join),
    "leave": Command("/leave", "the group that is chosen", Interactive.leave),
    "who": Command("/who", "who you are, where, and who is online", Interactive.who),
    "quit": Command("/quit", "or Ctrl-D, or Ctrl-C", Interactive.quit),
}


def _status(is_online: bool) -> PresenceStatus:
    return PresenceStatus.ONLINE if is_online else PresenceStatus.OFFLINE


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
