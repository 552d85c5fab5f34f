"""chatd.services.where"""

import pytest

from chatd.errors import ChatError
from chatd.services.where import Where, where
from protocol.errors import ErrorCode
from protocol.requests import Ack


def test_a_conversation_is_named_by_either_id() -> None:
    assert where(Ack(chat_id="alice-bob", seq=1)) == Where("alice-bob", True)
    assert where(Ack(group_id="7", seq=1)) == Where("7", False)
    # What it is, is the store's to say: ids are not parsed.
    assert where(Ack(group_id="alice-bob", seq=1)) == Where("alice-bob", False)


@pytest.mark.parametrize(
    ("request_", "name"),
    [(Ack(seq=1), "`chatId`"), (Ack(chat_id="alice-bob", group_id="7", seq=1), "`groupId`")],
)
def test_it_is_named_once(request_: Ack, name: str) -> None:
    with pytest.raises(ChatError) as refused:
        where(request_)
    assert refused.value.code is ErrorCode.INVALID_FIELD
    assert name in refused.value.message
