"""Who is typing where: told to the others while it lasts, never stored.

A renewal is passed on at most every `TELL_SECONDS`; `LASTS_SECONDS` after the last one the others
are told that it ended. Limits: `SHOWN` users of a conversation at a time and `TYPISTS` of the node
are told of; more are not, which nobody misses.
"""

import asyncio
from typing import Final

from chatd.auth import Principal
from chatd.delivery.relay import Relay
from chatd.errors import ChatError, not_a_member
from chatd.services.where import where
from chatd.stores.conversation_store import ConversationKind, ConversationStore
from protocol.codec import encode
from protocol.errors import ErrorCode
from protocol.framing import text_message
from protocol.pushes import Typing as TypingPush
from protocol.requests import Typing

TELL_SECONDS: Final = 3.0
LASTS_SECONDS: Final = 6.0
SHOWN: Final = 5
TYPISTS: Final = 10_000

_Key = tuple[str, str]
"""Conversation and user."""


class _Typist:
    __slots__ = ("ends_at", "is_direct", "timer", "told_at")

    def __init__(self, is_direct: bool) -> None:
        self.is_direct = is_direct
        self.ends_at = 0.0
        self.told_at = -TELL_SECONDS
        self.timer: asyncio.TimerHandle | None = None


class TypingStatus:
    def __init__(self, conversations: ConversationStore, relay: Relay) -> None:
        self._conversations = conversations
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self._typists: dict[_Key, _Typist] = {}
        self._shown: dict[str, int] = {}
        """By conversation, how many of its users are told of."""

    def stop(self) -> None:
        for typist in self._typists.values():
            if typist.timer is not None:
                typist.timer.cancel()

    async def typing(self, principal: Principal, request: Typing) -> None:
        """The caller types in a conversation, or has stopped.

        Raises:
            ChatError: INVALID_FIELD, NOT_A_MEMBER, BLOCKED.
        """
        place = where(request)
        key = place.conversation_id, principal.username
        await self._check(key, is_direct=place.is_direct)
        typist = self._typists.get(key)
        now = self._loop.time()
        if not request.is_typing:
            if typist is not None:
                self._end(key, typist)
            return
        if typist is None:
            typist = self._begin(key, is_direct=place.is_direct)
            if typist is None:
                return
        typist.ends_at = now + LASTS_SECONDS
        if now - typist.told_at >= TELL_SECONDS:
            typist.told_at = now
            self._tell(key, typist, is_typing=True)

    async def _check(self, key: _Key, *, is_direct: bool) -> None:
        verdict = await self._conversations.may_signal(*key)
        if verdict is ErrorCode.BLOCKED:
            raise ChatError(ErrorCode.BLOCKED, "one of you has blocked the other")
        if verdict is not (ConversationKind.DIRECT if is_direct else ConversationKind.GROUP):
            raise not_a_member()

    def _begin(self, key: _Key, *, is_direct: bool) -> _Typist | None:
        shown = self._shown.get(key[0], 0)
        if shown >= SHOWN or len(self._typists) >= TYPISTS:
            return None
        self._shown[key[0]] = shown + 1
        typist = self._typists[key] = _Typist(is_direct)
        typist.timer = self._loop.call_later(LASTS_SECONDS, self._look, key, typist)
        return typist

    def _look(self, key: _Key, typist: _Typist) -> None:
        left = typist.ends_at - self._loop.time()
        if left > 0:
            typist.timer = self._loop.call_later(left, self._look, key, typist)
        else:
            self._end(key, typist)

    def _end(self, key: _Key, typist: _Typist) -> None:
        if self._typists.get(key) is not typist:
            return
        del self._typists[key]
        self._shown[key[0]] -= 1
        if not self._shown[key[0]]:
            del self._shown[key[0]]
        if typist.timer is not None:
            typist.timer.cancel()
        self._tell(key, typist, is_typing=False)

    def _tell(self, key: _Key, typist: _Typist, *, is_typing: bool) -> None:
        conversation_id, username = key
        frame = TypingPush(
            chat_id=conversation_id if typist.is_direct else None,
            group_id=None if typist.is_direct else conversation_id,
            username=username,
            is_typing=is_typing,
        )
        self._relay.hint(conversation_id, username, text_message(encode(frame)))
