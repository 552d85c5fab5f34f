"""Which pushes wait, and which began lately: at most one waits for each user and conversation.

`chatd:push:waits:NAME/CONVERSATION` holds the token of the push that is to begin: what comes
meanwhile is left to it. `chatd:push:begun:NAME/CONVERSATION` holds that of the last one that
began, for as long as the next has to stay away. The tokens tell a push that is done for a second
time, because its worker died, from another one. The scripts run whole.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from chatd.fabric.queue_client_redis import QueueRedis

WAITS_SECONDS: Final = 600
"""How long a push may be late until it is taken for lost."""
_WAITS: Final = "chatd:push:waits:"
_BEGUN: Final = "chatd:push:begun:"
_AT_ONCE: Final = 200

# Of all of them: KEYS two for each push, ARGV[1] milliseconds, then a token for each.
_CLAIM: Final = """
local found = {}
for i = 1, #KEYS / 2 do
    local pause = math.max(redis.call('PTTL', KEYS[2 * i]), 0)
    local claimed = redis.call('SET', KEYS[2 * i - 1], ARGV[i + 1], 'NX', 'PX', pause + ARGV[1])
    found[i] = claimed and pause or -1
end
return found
"""
_BEGIN: Final = """
local found = {}
for i = 1, #KEYS / 2 do
    local waits, begun = unpack(redis.call('MGET', KEYS[2 * i - 1], KEYS[2 * i]))
    local token = ARGV[i + 1]
    if waits == token or begun == token or (not waits and not begun) then
        if waits == token then redis.call('DEL', KEYS[2 * i - 1]) end
        if tonumber(ARGV[1]) > 0 then redis.call('SET', KEYS[2 * i], token, 'PX', ARGV[1]) end
        found[i] = 1
    else
        found[i] = 0
    end
end
return found
"""
_WAIT_AGAIN: Final = """
local found = {}
for i = 1, #KEYS / 2 do
    local token = ARGV[i + 1]
    redis.call('SET', KEYS[2 * i - 1], token, 'NX', 'PX', ARGV[1])
    if redis.call('GET', KEYS[2 * i - 1]) == token then
        if redis.call('GET', KEYS[2 * i]) == token then redis.call('DEL', KEYS[2 * i]) end
        found[i] = 1
    else
        found[i] = 0
    end
end
return found
"""
_RELEASE: Final = """
for i = 1, #KEYS / 2 do
    if redis.call('GET', KEYS[2 * i - 1]) == ARGV[i + 1] then redis.call('DEL', KEYS[2 * i - 1]) end
end
return {}
"""


class Slot(NamedTuple):
    """A push, as its job has it."""

    username: str
    conversation_id: str
    token: str


class PushSlots:
    """May raise RedisError and OSError."""

    def __init__(self, redis: QueueRedis, pause_seconds: float) -> None:
        """`pause_seconds` are between the beginnings of two pushes of one kind."""
        self._redis = redis
        self._pause_ms = int(pause_seconds * 1000)

    def claim(self, slots: Sequence[Slot]) -> list[float | None]:
        """In how many seconds each of the pushes is to begin; None: leave it to the one that
        waits."""
        found = self._run(_CLAIM, WAITS_SECONDS * 1000, slots)
        return [None if pause < 0 else pause / 1000 for pause in found]

    def release(self, slots: Sequence[Slot]) -> None:
        """Pushes that were claimed will not be made."""
        self._run(_RELEASE, 0, slots)

    def begin(self, slots: Sequence[Slot]) -> list[bool]:
        """Which of the pushes are to be made, now."""
        return [bool(found) for found in self._run(_BEGIN, self._pause_ms, slots)]

    def wait_again(self, slots: Sequence[Slot], seconds: float) -> list[bool]:
        """Pushes failed and are to begin again after a while; which of them: the others are left
        to one that waits."""
        ms = int((seconds + WAITS_SECONDS) * 1000)
        return [bool(found) for found in self._run(_WAIT_AGAIN, ms, slots)]

    def _run(self, script: str, ms: int, slots: Sequence[Slot]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(slots), _AT_ONCE):
            piece = slots[start : start + _AT_ONCE]
            keys = [key for slot in piece for key in _keys(slot)]
            arguments: list[Any] = [*keys, ms, *(slot.token for slot in piece)]
            found += self._redis.eval(script, len(keys), *arguments)
        return found


def _keys(slot: Slot) -> tuple[str, str]:
    name = f"{slot.username}/{slot.conversation_id}"
    return _WAITS + name, _BEGUN + name
