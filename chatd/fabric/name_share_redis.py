"""The shared name filter in Redis, as steps that each run whole.

    chatd:names:head        what the filter is: a hash
        build               names its layers; new with every building
        run                 the run of Redis that it was begun in
        epoch               of the names, when its building was begun (UserStore.names_epoch)
        form                where the bits of names are (name_layers)
        state               building, or complete: every name of the store is in it
        layers, count, total    how many; names in the newest, and in all of them
    chatd:names:BUILD:N     bits of a layer
    chatd:names:BUILD:new   the first layer as its builder has it, until it is merged

They belong to all nodes together. The head of a building lives `BUILDING_SECONDS` unless its
builder goes on, which is the lock that lets one build; a complete one lives `KEPT_SECONDS` after
the last node that looked. Redis may drop any of them: a head whose layers are not whole is dropped
too, and so is one of an earlier run of Redis, which may have come back from an old dump.
"""

import asyncio
import secrets
from typing import Final, NamedTuple

from chatd.errors import BackendError
from chatd.fabric.client_redis import RedisClient, Script
from chatd.fabric.name_layers import LAYERS, Layer, Layers, form_of

BUILDING_SECONDS: Final = 30
KEPT_SECONDS: Final = 3600
CHUNK_BYTES: Final = 256 * 1024
_PREFIX: Final = "chatd:names:"
_HEAD: Final = [_PREFIX + "head"]
_NOBODY, _FULL, _DONE = -1, -2, 0

_RUN: Final = "string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')"

# KEYS[1] is the head everywhere, ARGV[1] the prefix.

# epoch, seconds -> build, form, state, layers, total
_LOOK: Final = Script(f"""
local h = redis.call('HMGET', KEYS[1], 'build', 'form', 'state', 'layers', 'total', 'run', 'epoch')
if not h[1] then return {{}} end
if h[6] ~= {_RUN} or h[7] ~= ARGV[2] then
    redis.call('DEL', KEYS[1])
    return {{}}
end
if h[3] == 'complete' then
    redis.call('EXPIRE', KEYS[1], ARGV[3])
    for n = 1, tonumber(h[4]) do redis.call('EXPIRE', ARGV[1] .. h[1] .. ':' .. n, ARGV[3]) end
end
return {{h[1], h[2], h[3], h[4], h[5]}}
""")
# build, epoch, form, bytes of the first layer, seconds of a building, of a layer -> begun?
_BEGIN: Final = Script(f"""
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local first = ARGV[1] .. ARGV[2] .. ':1'
redis.call('SETBIT', first, ARGV[5] * 8 - 1, 0)
redis.call('EXPIRE', first, ARGV[7])
redis.call('HSET', KEYS[1], 'build', ARGV[2], 'epoch', ARGV[3], 'form', ARGV[4], 'run', {_RUN},
    'state', 'building', 'layers', 1, 'count', 0, 'total', 0)
redis.call('EXPIRE', KEYS[1], ARGV[6])
return 1
""")
# build, seconds -> still there?
_KEEP: Final = Script(f"""
local h = redis.call('HMGET', KEYS[1], 'build', 'run')
if h[1] ~= ARGV[2] or h[2] ~= {_RUN} then return 0 end
return redis.call('EXPIRE', KEYS[1], ARGV[3])
""")
# form, layers, bytes and capacity of the last (0: none), bits -> _DONE, _NOBODY, _FULL, or layers
_ADD: Final = Script("""
local h = redis.call('HMGET', KEYS[1], 'build', 'form', 'layers', 'count', 'state')
if not h[1] then return -1 end
if h[2] ~= ARGV[2] then
    redis.call('DEL', KEYS[1])
    return -1
end
if h[3] ~= ARGV[3] then return tonumber(h[3]) end
local layer, capacity = ARGV[1] .. h[1] .. ':' .. h[3], tonumber(ARGV[5])
if redis.call('STRLEN', layer) ~= tonumber(ARGV[4]) then
    redis.call('DEL', KEYS[1])
    return -1
end
if h[5] == 'complete' and capacity > 0 and tonumber(h[4]) >= capacity then return -2 end
local is_new = 0
for n = 6, #ARGV do
    if redis.call('SETBIT', layer, ARGV[n], 1) == 0 then is_new = 1 end
end
if is_new == 1 then
    redis.call('HINCRBY', KEYS[1], 'count', 1)
    redis.call('HINCRBY', KEYS[1], 'total', 1)
end
return 0
""")
# form, layers from now on, bytes of the last, seconds
_GROW: Final = Script("""
local h = redis.call('HMGET', KEYS[1], 'build', 'form', 'layers')
if not h[1] or h[2] ~= ARGV[2] or tonumber(h[3]) + 1 ~= tonumber(ARGV[3]) then return end
local layer = ARGV[1] .. h[1] .. ':' .. ARGV[3]
redis.call('SETBIT', layer, ARGV[4] * 8 - 1, 0)
redis.call('EXPIRE', layer, ARGV[5])
redis.call('HSET', KEYS[1], 'layers', ARGV[3], 'count', 0)
""")
# build, epoch, layers, then of each: bytes, how many bits, the bits -> the layer with all of them,
# 0 when there is none, -1 when the filter is not the one that was asked
_ASK: Final = Script(f"""
local h = redis.call('HMGET', KEYS[1], 'build', 'epoch', 'layers', 'state', 'run')
if h[1] ~= ARGV[2] or h[2] ~= ARGV[3] or h[3] ~= ARGV[4] or h[4] ~= 'complete'
    or h[5] ~= {_RUN} then return -1 end
local at, found = 5, 0
for n = 1, tonumber(ARGV[4]) do
    local layer = ARGV[1] .. h[1] .. ':' .. n
    if redis.call('STRLEN', layer) ~= tonumber(ARGV[at]) then
        redis.call('DEL', KEYS[1])
        return -1
    end
    local last = at + 1 + tonumber(ARGV[at + 1])
    local has_all = true
    for place = at + 2, last do
        if redis.call('GETBIT', layer, ARGV[place]) == 0 then
            has_all = false
            break
        end
    end
    if has_all then found = n end
    at = last + 1
end
return found
""")
# build, seconds, names in the newest layer, in all, layers, the bytes of each -> complete?
_SEAL: Final = Script(f"""
local h = redis.call('HMGET', KEYS[1], 'build', 'run', 'state', 'count', 'total')
if h[1] ~= ARGV[2] or h[2] ~= {_RUN} or h[3] ~= 'building' then return 0 end
local layers, new = tonumber(ARGV[6]), ARGV[1] .. h[1] .. ':new'
local is_whole = redis.call('STRLEN', new) == tonumber(ARGV[7])
for n = 1, layers do
    local layer = ARGV[1] .. h[1] .. ':' .. n
    is_whole = is_whole and redis.call('STRLEN', layer) == tonumber(ARGV[6 + n])
end
if not is_whole then
    redis.call('DEL', KEYS[1])
    return 0
end
local first = ARGV[1] .. h[1] .. ':1'
redis.call('BITOP', 'OR', first, first, new)
redis.call('DEL', new)
for n = 1, layers do redis.call('EXPIRE', ARGV[1] .. h[1] .. ':' .. n, ARGV[3]) end
local more = layers == 1 and tonumber(h[4]) or 0
redis.call('HSET', KEYS[1], 'state', 'complete', 'layers', layers,
    'count', tonumber(ARGV[4]) + more, 'total', tonumber(ARGV[5]) + tonumber(h[5]))
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""")


class Head(NamedTuple):
    """The shared filter as it is."""

    build: str
    is_ours: bool
    """Whether this process can read it: another version may have other bits."""
    is_complete: bool
    layers: int
    total: int


class SharedNames:
    """See the module. Every method may raise BackendError."""

    def __init__(self, client: RedisClient, capacity: int) -> None:
        """`capacity` is that of the first layer, in names."""
        self._client = client
        self._capacity = capacity
        self._form = form_of(capacity)

    def layers(self) -> Layers:
        """An empty filter of the same form."""
        return Layers(self._capacity)

    async def look(self, epoch: str) -> Head | None:
        """The filter, complete or not; None when there is none for this epoch."""
        reply = await self._client.run(_LOOK, _HEAD, _PREFIX, epoch, KEPT_SECONDS)
        if not reply:
            return None
        build, form, state, layers, total = (one.decode() for one in reply)
        return Head(build, form == self._form, state == "complete", int(layers), int(total))

    async def begin(self, epoch: str) -> str | None:
        """Begin to build for the epoch; the new filter, or None when there is one. From now on
        what is added by any node is in it."""
        build = secrets.token_hex(6)
        first = self.layers().layers[0].bytes.nbytes
        begun = await self._client.run(
            _BEGIN,
            _HEAD,
            _PREFIX,
            build,
            epoch,
            self._form,
            first,
            BUILDING_SECONDS,
            KEPT_SECONDS,
        )
        return build if begun else None

    async def keep(self, build: str) -> bool:
        """Go on building for some time; False when the building is void."""
        return bool(await self._client.run(_KEEP, _HEAD, _PREFIX, build, BUILDING_SECONDS))

    async def give_up(self, build: str) -> None:
        """Let others build."""
        await self._client.run(_KEEP, _HEAD, _PREFIX, build, 0)

    async def add(self, name: str, layers: Layers) -> None:
        """Put a name into the filter, if there is one, and into the caller's copy of it."""
        count = len(layers.layers)
        while True:
            layer = _opened(layers, count)
            reply = await self._client.run(
                _ADD,
                _HEAD,
                _PREFIX,
                self._form,
                count,
                layer.bytes.nbytes,
                layer.capacity if count < LAYERS else 0,
                *layer.offsets(name),
            )
            if reply == _DONE:
                layer.put(name)
            if reply in (_DONE, _NOBODY):
                return
            if reply == _FULL:
                count += 1
                size = _opened(layers, count).bytes.nbytes
                await self._client.run(_GROW, _HEAD, _PREFIX, self._form, count, size, KEPT_SECONDS)
            else:
                count = reply

    async def ask(self, name: str, head: Head, epoch: str, copy: Layers) -> int | None:
        """The number of the layer, from 1, that has the name; 0 when the filter has it nowhere;
        None when the filter is not, or no more, complete and the one that is named."""
        arguments: list[str | int] = []
        for layer in copy.layers[: head.layers]:
            offsets = layer.offsets(name)
            arguments += [layer.bytes.nbytes, len(offsets), *offsets]
        found = await self._client.run(
            _ASK, _HEAD, _PREFIX, head.build, epoch, head.layers, *arguments
        )
        return None if found < 0 else int(found)

    async def copy(self, head: Head) -> Layers:
        """The filter as bits of this process. What is added meanwhile may be missing."""
        layers = self.layers()
        for number in range(1, head.layers + 1):
            layer = _opened(layers, number)
            for start in range(0, layer.bytes.nbytes, CHUNK_BYTES):
                chunk = await self._client.call(
                    "GETRANGE", _key(head.build, number), start, start + CHUNK_BYTES - 1
                )
                if len(chunk) != len(layer.bytes[start : start + CHUNK_BYTES]):
                    raise BackendError("the shared name filter is not whole")
                layer.bytes[start : start + CHUNK_BYTES] = chunk
        return layers

    async def seal(self, build: str, layers: Layers) -> bool:
        """Complete the filter with the names of the builder; False when the building is void."""
        for number, layer in enumerate(layers.layers, 1):
            # Nodes add to the first layer while it is being built: it is merged at the end.
            key = _key(build, "new" if number == 1 else number)
            for start in range(0, layer.bytes.nbytes, CHUNK_BYTES):
                chunk = bytes(layer.bytes[start : start + CHUNK_BYTES])
                # Appended: if Redis drops what is there already, it is too short at the end.
                _, _, is_kept = await asyncio.gather(
                    self._client.call("APPEND", key, chunk),
                    self._client.call("EXPIRE", key, KEPT_SECONDS),
                    self.keep(build),
                )
                if not is_kept:
                    return False
        sizes = [layer.bytes.nbytes for layer in layers.layers]
        newest = layers.layers[-1].count
        return bool(
            await self._client.run(
                _SEAL,
                _HEAD,
                _PREFIX,
                build,
                KEPT_SECONDS,
                newest,
                layers.count,
                len(sizes),
                *sizes,
            )
        )


def _opened(layers: Layers, number: int) -> Layer:
    """The layer of this number, from 1; those up to it are opened."""
    while len(layers.layers) < number:
        layers.open()
    return layers.layers[number - 1]


def _key(build: str, layer: int | str) -> str:
    return f"{_PREFIX}{build}:{layer}"
