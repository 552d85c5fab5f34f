"""chatd.fabric.name_layers"""

import pytest

from chatd.fabric import name_layers
from chatd.fabric.name_layers import LAYERS, SHARED_CAPACITY, Layers, form_of

NAMES = [f"@user{n}" for n in range(2_000)]
OTHERS = [f"@nobody{n}" for n in range(20_000)]


def filled(capacity: int, names: list[str] = NAMES) -> Layers:
    layers = Layers(capacity)
    for name in names:
        layers.add(name)
    return layers


def test_what_was_added_is_in_it_however_often_it_grew() -> None:
    layers = filled(100)
    assert len(layers.layers) == LAYERS
    assert all(name in layers for name in NAMES)
    assert layers.count == pytest.approx(len(NAMES), rel=0.01)


def test_what_was_not_added_is_hardly_ever_in_it() -> None:
    # Full to the last layer: 100, 200, 400, 800 and half of 1,600 names.
    layers = filled(100)
    assert sum(name in layers for name in OTHERS) / len(OTHERS) < 0.005
    one = filled(len(NAMES))
    assert len(one.layers) == 1
    assert sum(name in one for name in OTHERS) / len(OTHERS) < 0.002


def test_beyond_the_last_layer_nobody_is_lost() -> None:
    layers = filled(10)
    assert len(layers.layers) == LAYERS
    assert all(name in layers for name in NAMES)
    assert layers.size_bytes < 1_000


def test_a_name_that_is_there_is_not_counted_again() -> None:
    layers = filled(10_000)
    before = layers.count
    for name in NAMES:
        layers.add(name)
    assert layers.count == before


def test_its_size_is_what_the_docs_say() -> None:
    layers = Layers(SHARED_CAPACITY)
    assert layers.size_bytes == pytest.approx(1.8e6, rel=0.02)
    while len(layers.layers) < LAYERS:
        layers.open()
    assert layers.size_bytes == pytest.approx(59e6, rel=0.02)
    assert sum(layer.capacity for layer in layers.layers) == 31 * SHARED_CAPACITY


def test_bytes_carry_a_layer_over() -> None:
    layers, copy = filled(1_000, NAMES[:1_000]), Layers(1_000)
    (layer,), (bare,) = layers.layers, copy.layers
    middle = layer.bytes.nbytes // 2
    bare.bytes[:middle] = bytes(layer.bytes[:middle])
    bare.bytes[middle:] = bytes(layer.bytes[middle:])
    assert all(name in copy for name in NAMES[:1_000])
    assert [name in copy for name in OTHERS] == [name in layers for name in OTHERS]


def test_offsets_are_those_of_redis() -> None:
    layer = Layers(1_000).layers[0]
    for name in NAMES[:50]:
        bits = bytearray(layer.bytes.nbytes)
        # As SETBIT does it: the first bit of a byte is its highest.
        for offset in layer.offsets(name):
            bits[offset // 8] |= 0x80 >> offset % 8
        other = Layers(1_000)
        other.add(name)
        assert bytes(other.layers[0].bytes) == bytes(bits)


def test_a_form_is_of_where_bits_are(monkeypatch: pytest.MonkeyPatch) -> None:
    form = form_of(1_000)
    assert form_of(1_000) == form
    assert form_of(1_001) != form
    monkeypatch.setattr(name_layers, "_ENDS", 0)
    assert form_of(1_000) != form
