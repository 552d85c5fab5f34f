"""chatd.ids"""

import pytest

from chatd import ids
from chatd.ids import InvalidId, Nonces, Place
from protocol import limits

EPOCH_MS = 1_704_067_200_000


def test_a_message_id_names_its_place() -> None:
    text = ids.message_id("alice-bob", 17, 0x0102030405FF)
    assert text == "AQIDBAX_17.alice-bob"
    assert ids.open_message_id(text) == Place("alice-bob", 17, 0x0102030405FF)


def test_the_longest_message_id_is_within_the_limit() -> None:
    longest = ids.message_id("x" * limits.CONVERSATION_ID_CHARS, 2**53 - 1, 2**48 - 1)
    assert len(longest) <= limits.MESSAGE_ID_CHARS
    assert "~" not in longest
    assert ids.open_message_id(longest).seq == 2**53 - 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAAAAAAA1.",
        "AAAAAAAA.alice-bob",
        "AAAAAAA1.alice-bob",
        "AAAAAAAA0.alice-bob",
        "AAAAAAAA01.alice-bob",
        "AAAAAAAA-1.alice-bob",
        "AAAAAA==1.alice-bob",
        "AAAAAAAA1.Alice",
        "AAAAAAAA1.alice bob",
        "AAAAAAAA1.alice-bob\n",
        " AAAAAAAA1.alice-bob",
        "AAAAAAAA1234567890123456789.alice-bob",
        "AAAAAAAA\u0661.alice-bob",
        "AAAAAAAA1." + "x" * 66,
    ],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        ids.open_message_id(text)


def test_a_direct_id_has_the_names_in_byte_order() -> None:
    assert ids.direct_id("bob", "alice") == ids.direct_id("alice", "bob") == "alice-bob"
    assert ids.direct_id("a.b", "a_b") == "a.b-a_b"
    assert ids.direct_id("a1", "a") == "a-a1"


def test_a_group_id_is_the_time_above_random_bits() -> None:
    group_id = ids.GroupIds(lambda bits: (1 << bits) - 1).new(EPOCH_MS + 1_000)
    assert int(group_id) == (1_000 << 22) + (1 << 22) - 1
    assert int(ids.GroupIds(lambda bits: 0).new(EPOCH_MS + 1_001)) == int(group_id) + 1


def test_group_ids_of_a_moment_differ() -> None:
    # All with the same random bits, and with the clock stepping back too.
    maker = ids.GroupIds(lambda bits: 5)
    made = [int(maker.new(EPOCH_MS + step)) for step in (9, 9, 9, 8, 9, 10)]
    assert made == sorted(set(made))


def test_a_group_id_holds_no_hyphen_whatever_the_clock_says() -> None:
    assert "-" not in ids.GroupIds().new(EPOCH_MS - 1)


def test_nonces_are_48_bits_from_blocks() -> None:
    asked: list[int] = []

    def count(size: int) -> bytes:
        asked.append(size)
        return bytes(n % 256 for n in range(size))

    nonces = Nonces(count)
    found = [nonces.new() for _ in range(257)]
    assert found[0] == 0x000102030405
    assert found[1] == 0x060708090A0B
    assert found[256] == found[0]
    assert len(asked) == 2
    assert all(0 <= nonce < 2**48 for nonce in found)


def test_nonces_of_the_system_differ() -> None:
    nonces = Nonces()
    assert len({nonces.new() for _ in range(1_000)}) == 1_000


def test_connections_and_devices_have_ids_of_their_own() -> None:
    made = [make() for make in (ids.new_connection_id, ids.new_device_id) for _ in range(100)]
    assert len(set(made)) == 200
