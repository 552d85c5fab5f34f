"""Ids: what is opened is what was made, and anything else is refused."""

from hypothesis import given
from hypothesis import strategies as st

from chatd import ids
from protocol import limits
from protocol.model import CONVERSATION_ID_PATTERN, USERNAME_PATTERN

conversation_ids = st.from_regex(CONVERSATION_ID_PATTERN, fullmatch=True)
usernames = st.from_regex(USERNAME_PATTERN, fullmatch=True)
seqs = st.integers(1, 2**53 - 1)
nonces = st.integers(0, 2**48 - 1)
made = st.builds(ids.message_id, conversation_ids, seqs, nonces)


@given(conversation_ids, seqs, nonces)
def test_an_id_opens_as_the_place_that_it_was_made_of(
    conversation_id: str, seq: int, nonce: int
) -> None:
    text = ids.message_id(conversation_id, seq, nonce)
    assert ids.open_message_id(text) == (conversation_id, seq, nonce)
    assert len(text) <= limits.MESSAGE_ID_CHARS
    assert text.isascii() and not set(text) - set(_URL_SAFE)


_URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


@given(st.text() | st.from_regex(r"[A-Za-z0-9_\-]{7,9}[0-9]{0,18}\.?[a-z0-9._\-]{0,70}"))
def test_what_opens_is_what_would_be_made(text: str) -> None:
    try:
        place = ids.open_message_id(text)
    except ids.InvalidId:
        return
    assert ids.message_id(*place) == text


@given(made, st.data())
def test_a_changed_id_is_refused_or_names_another_place(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters())
    changed = text[:at] + character + text[at + 1 :]
    try:
        place = ids.open_message_id(changed)
    except ids.InvalidId:
        assert changed != text
        return
    assert (place == ids.open_message_id(text)) is (changed == text)


@given(usernames, usernames, usernames)
def test_a_direct_id_is_symmetric_and_the_pairs_own(one: str, other: str, third: str) -> None:
    assert ids.direct_id(one, other) == ids.direct_id(other, one)
    if third not in (one, other):
        assert ids.direct_id(one, third) != ids.direct_id(one, other)
    assert len(ids.direct_id(one, other)) <= limits.CONVERSATION_ID_CHARS
    assert ids.direct_id(one, other).split("-") == sorted(
        [one, other], key=lambda name: name.encode()
    )


@given(st.integers(1_704_067_200_000, 4_000_000_000_000), st.integers(0, 2**22 - 1))
def test_a_group_id_is_a_conversation_id_of_no_direct_chat(now_ms: int, random_bits: int) -> None:
    group_id = ids.GroupIds(lambda bits: random_bits).new(now_ms)
    assert group_id.isdecimal()
    assert len(group_id) <= limits.CONVERSATION_ID_CHARS
    later = ids.GroupIds(lambda bits: 0).new(now_ms + 1)
    assert int(later) > int(group_id)
