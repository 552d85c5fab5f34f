"""Which conversation a request is about."""

from typing import NamedTuple

from chatd.errors import invalid_field
from protocol.requests import InConversation


class Where(NamedTuple):
    conversation_id: str
    is_direct: bool
    """It was named by `chatId`; whether that is what it is, is the store's to say."""


def where(request: InConversation) -> Where:
    """The conversation of a request that names it by `chatId` or by `groupId`.

    Raises:
        ChatError: INVALID_FIELD, neither is there, or both are.
    """
    if request.chat_id is not None:
        if request.group_id is not None:
            raise invalid_field("groupId", "`chatId` and `groupId` cannot both be given")
        return Where(request.chat_id, True)
    if request.group_id is None:
        raise invalid_field("chatId", "`chatId` or `groupId` is required")
    return Where(request.group_id, False)
