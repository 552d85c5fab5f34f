"""The bits of a name filter: layers, each a Bloom filter for twice as many names as the one before.

A name has the same bits in every process that agrees on `form_of`, so that layers can be shared.
They grow as pybloom-live's ScalableBloomFilter does, but by hand: a layer is also kept in Redis,
where one node opens it for all of them.

With layers for 1, 2, 4, 8 and 16 million names: 1.8 MB for the first million names, 59 MB for 31
million; what comes beyond goes into the last layer, and only the rate of false positives suffers.
That rate is at most 0.09 % of one layer that is full, 0.37 % of all five. A look takes 3 to 4 µs a
layer, of which there is one up to a million names; adding a name takes 6 µs.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from pybloom_live import BloomFilter

LAYERS: Final = 5
SHARED_CAPACITY: Final = 1_000_000
"""Names of the first layer of a filter that is shared."""
_ERROR_RATE: Final = 0.0009
_TIGHTENING: Final = 0.9
_GROWTH: Final = 2
_ENDS: Final = 7
"""Redis counts the bits of a byte from the other end."""


class Layer:
    """One Bloom filter, as bits that can be read and written as bytes."""

    def __init__(self, capacity: int, error_rate: float) -> None:
        self._filter = BloomFilter(capacity, error_rate)
        self._slice_bits: int = self._filter.bits_per_slice
        self.capacity = capacity
        self.count = 0
        """Names that were put into it and changed a bit."""
        self.bytes = memoryview(self._filter.bitarray)
        """Of the layer itself; writing them changes it."""

    def __contains__(self, name: str) -> bool:
        return name in self._filter

    def put(self, name: str) -> None:
        bits = self._filter.bitarray
        is_new = False
        for bit in self._bits(name):
            if not bits[bit]:
                bits[bit] = is_new = True
        self.count += is_new

    def offsets(self, name: str) -> list[int]:
        """Where Redis has the bits of the name."""
        return [bit ^ _ENDS for bit in self._bits(name)]

    def _bits(self, name: str) -> Iterator[int]:
        start = 0
        for place in self._filter.make_hashes(name):
            yield start + place
            start += self._slice_bits


class Layers:
    """A filter that grows. `capacity` is that of the first layer, in names."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.layers: list[Layer] = []
        self.open()

    def __contains__(self, name: str) -> bool:
        for layer in reversed(self.layers):
            if name in layer:
                return True
        return False

    @property
    def count(self) -> int:
        """Names that are in it, about."""
        return sum(layer.count for layer in self.layers)

    @property
    def size_bytes(self) -> int:
        return sum(layer.bytes.nbytes for layer in self.layers)

    def open(self) -> None:
        """Begin the next layer."""
        n = len(self.layers)
        self.layers.append(Layer(self._capacity * _GROWTH**n, _ERROR_RATE * _TIGHTENING**n))

    def add(self, name: str) -> None:
        """Put a name into the newest layer, or into a new one when that is full."""
        if name in self:
            return
        newest = self.layers[-1]
        if newest.count >= newest.capacity and len(self.layers) < LAYERS:
            self.open()
            newest = self.layers[-1]
        newest.put(name)


def form_of(capacity: int) -> str:
    """What two processes must agree on to share layers: where the bits of names are. Another
    version of the library, or another kind of processor, may have another."""
    layer = Layer(capacity, _ERROR_RATE)
    places = [capacity, LAYERS, _GROWTH, _TIGHTENING, _ERROR_RATE, layer.bytes.nbytes]
    places += [bit for n in range(8) for bit in layer.offsets(f"@form{n}")]
    layer.put("@form")
    held = hashlib.blake2b(layer.bytes, digest_size=8)
    return hashlib.blake2b(repr(places).encode() + held.digest(), digest_size=8).hexdigest()
