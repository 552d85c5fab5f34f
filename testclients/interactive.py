"""The chat for a person: a list to choose from, a conversation, commands with a slash."""

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from protocol.limits import HISTORY_PAGE
from protocol.model import HistoryMessage, PresenceStatus
from protocol.pushes import GroupChatHistory, OneToOneChatHistory
from testclients import render
from testclients.board import Board
from testclients.conversations import Conversation, Direct, Group, find_group
from testclients.credentials import Credentials
from testclients.errors import ClientError, RequestFailed, first_of_group
from testclients.events import Where
from testclients.fold import Fold
from testclients.options import EXIT_OK, Options
from testclients.outbox import EntryState
from testclients.screen import Screen
from testclients.steady import SteadyClient

HISTORY_SHOWN: Final = 20
TYPING_SECONDS: Final = 8.0
"""Who has touched no key for so long is not typing."""


class Refusal(Exception):
    """What was typed cannot be done; it says what can."""


class Interactive:
    def __init__(
        self, credentials: Credentials, user: str, options: Options, screen: Screen
    ) -> None:
        self._options = options
        self._screen = screen
        self._board = Board(screen, user, _now_ms, json=options.json)
        self._client = SteadyClient(
            options.chat_url,
            credentials,
            on_state=self._board.connection,
            on_entry=self._board.entry,
        )
        self._offered: list[Conversation] = []
        """What the numbers of the last list stand for, from 1."""
        self._typing_end: asyncio.TimerHandle | None = None
        self._is_over = False

    async def run(self) -> int:
        """Until the user ends it. Returns the exit code.

        Raises:
            ClientError: there is no connection, and there will be none.
        """
        self._screen.show(f"logged in as {self._board.view.user}; /help lists the commands")
        async with self._client:
            try:
                await self._converse()
            finally:
                # Ctrl-C is a way to leave, too: what has come until now was shown, or is now.
                self._stop_typing()
                for happening in self._client.take_all():
                    self._board.happen(happening)
        return EXIT_OK

    async def _converse(self) -> None:
        await self._client.online()
        with first_of_group():
            async with asyncio.TaskGroup() as tasks:
                await self._begin()
                printer = tasks.create_task(self._print())
                self._screen.watch_typing(self._note_typing)
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
        """Do what was typed; if it cannot be done, say so and go on."""
        try:
            await deed
        except (ClientError, Refusal) as error:
            self._screen.show(f"! {render.plain(str(error))}")

    async def _take(self, line: str) -> None:
        if line.startswith("/") and not line.startswith("//"):
            await self._command(line[1:])
        elif not line.strip():
            return
        elif self._board.view.here is not None:
            self._send(self._board.view.here, line[1:] if line.startswith("//") else line)
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
        page = await self._fetch(conversation, HISTORY_SHOWN)
        self._stop_typing()
        self._board.open(conversation, page)
        await self.mark_read("")
        if isinstance(conversation, Direct):
            try:
                await self._client.subscribe_presence([conversation.peer])
            except RequestFailed as error:
                self._screen.show(f"* no news of who is online here: {render.plain(str(error))}")

    async def _fetch(
        self, conversation: Conversation, limit: int
    ) -> OneToOneChatHistory | GroupChatHistory:
        if isinstance(conversation, Group):
            return await self._client.history_group(conversation.group_id, limit=limit)
        page = await self._client.history_direct(conversation.peer, limit=limit)
        self._board.presence[conversation.peer] = _status(page.is_online)
        return page

    def _send(self, here: Conversation, text: str) -> None:
        """What is sent is shown when it is stored, in its place among what others say."""
        self._stop_typing()
        if isinstance(here, Direct):
            self._client.post_direct(here.peer, text)
        else:
            self._client.post_group(here.group_id, text)

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
        view = self._board.view
        self._board.presence |= {chat.peer: _status(chat.is_online) for chat in data.chats}
        view.group_names |= {group.group_id: group.name for group in data.groups}
        for line in render.listing(data.chats, data.groups, data.has_more, _now_ms(), view):
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
        page = await self._fetch(self._current(), int(rest or HISTORY_SHOWN))
        self._board.past(page.messages)

    async def edit(self, rest: str) -> None:
        if not rest:
            raise Refusal("usage: /edit TEXT, in place of what you said last here")
        message = await self._own_last()
        await self._client.edit(self._where(), message.id, rest, version=message.version)

    async def delete(self, rest: str) -> None:
        await self._client.delete(self._where(), (await self._own_last()).id)

    async def react(self, rest: str) -> None:
        if not rest:
            raise Refusal("usage: /react EMOJI, to what was said last here")
        await self._loaded()
        message = self._board.newest(lambda message: True)
        if message is None:
            raise Refusal("nothing was said here lately")
        await self._client.react(self._where(), message.id, rest)

    async def mark_read(self, rest: str) -> None:
        state = await self._loaded()
        if state.head:
            self._client.mark_read(self._where(), state.head)

    async def retry(self, rest: str) -> None:
        for entry in self._client.entries:
            if entry.state is EntryState.FAILED:
                self._client.retry(entry)

    async def drop(self, rest: str) -> None:
        for entry in self._client.entries:
            if entry.state is EntryState.FAILED:
                self._client.discard(entry)

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
        self._board.view.group_names[group_id] = words[0]
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
        self._board.close()

    async def who(self, rest: str) -> None:
        here = self._board.view.here
        self._screen.show(
            f"you are {self._board.view.user}"
            + (f", in {self._board.describe(here)}" if here else "")
        )
        online = sorted(
            name for name, status in self._board.presence.items() if status is PresenceStatus.ONLINE
        )
        self._screen.show(
            f"online, as far as known: {', '.join(map(render.plain, online)) or 'nobody'}"
        )

    async def quit(self, rest: str) -> None:
        self._is_over = True

    def _current(self) -> Conversation:
        if self._board.view.here is None:
            raise Refusal("no conversation is chosen")
        return self._board.view.here

    def _where(self) -> Where:
        self._current()
        assert self._board.where is not None, "it was fetched when it was chosen"
        return self._board.where

    async def _loaded(self) -> Fold:
        """The state of the conversation that is chosen."""
        here = self._current()
        if self._board.fold is not None:
            return self._board.fold
        return self._board.load(await self._fetch(here, HISTORY_PAGE))

    async def _own_last(self) -> HistoryMessage:
        await self._loaded()
        message = self._board.newest(lambda message: message.from_ == self._board.view.user)
        if message is None:
            raise Refusal("you have said nothing here lately")
        return message

    def _note_typing(self, text: str) -> None:
        """A key was pressed, and this is what stands there now."""
        if not text or text.startswith("/") or self._board.where is None:
            self._stop_typing()
            return
        if self._typing_end is not None:
            self._typing_end.cancel()
        loop = asyncio.get_running_loop()
        self._typing_end = loop.call_later(TYPING_SECONDS, self._stop_typing)
        self._client.typing(self._board.where, True)

    def _stop_typing(self) -> None:
        if self._typing_end is not None:
            self._typing_end.cancel()
            self._typing_end = None
        if self._board.where is not None:
            self._client.typing(self._board.where, False)

    def _prompt(self) -> str:
        here = self._board.view.here
        return f"{render.title(here) if here else ''}> "

    async def _print(self) -> None:
        while True:
            self._board.happen(await self._client.next())


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
    "edit": Command("/edit TEXT", "in place of what you said last here", Interactive.edit),
    "delete": Command("/delete", "what you said last here", Interactive.delete),
    "react": Command("/react EMOJI", "to what was said last here", Interactive.react),
    "read": Command("/read", "tell that you have read all of it", Interactive.mark_read),
    "retry": Command("/retry", "send again what could not be sent", Interactive.retry),
    "drop": Command("/drop", "give up what could not be sent", Interactive.drop),
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
