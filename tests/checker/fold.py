"""The state of a conversation's messages, made from its events alone."""

from collections.abc import Mapping

import msgspec

from protocol import pushes
from protocol.model import HistoryMessage
from tests.checker.story import EventFrame


class Fold:
    """Apply events in the order of their numbers."""

    def __init__(self, contents: Mapping[int, str]) -> None:
        """`contents`: what the posts and edits said, by number, where it is known; a
        deleted message's log does not say."""
        self.messages: dict[str, HistoryMessage] = {}
        """By id, ascending."""
        self.unknown: set[str] = set()
        """Messages of whose content nothing is known."""
        self._contents = contents

    def apply(self, frame: EventFrame) -> None:
        match frame:
            case pushes.OneToOneChat() | pushes.GroupChat():
                self._post(frame)
            case pushes.MessageEdited() | pushes.MessageDeleted() | pushes.Reaction():
                message = self.messages.get(frame.id)
                if message is not None:
                    self.messages[frame.id] = self._changed(message, frame)

    def _post(self, frame: pushes.OneToOneChat | pushes.GroupChat) -> None:
        self.messages[frame.id] = HistoryMessage(
            id=frame.id,
            seq=frame.seq,
            prev=frame.prev,
            from_=frame.from_,
            content=self._content(frame.id, frame.seq),
            sent_at=frame.sent_at,
            chat_id=frame.chat_id if isinstance(frame, pushes.OneToOneChat) else None,
            group_id=frame.group_id if isinstance(frame, pushes.GroupChat) else None,
            to=frame.to if isinstance(frame, pushes.OneToOneChat) else None,
            client_msg_id=frame.client_msg_id,
            reply_to=frame.reply_to,
            mentions=frame.mentions,
            version=1,
        )

    def _changed(
        self,
        message: HistoryMessage,
        frame: pushes.MessageEdited | pushes.MessageDeleted | pushes.Reaction,
    ) -> HistoryMessage:
        match frame:
            case pushes.MessageEdited():
                return msgspec.structs.replace(
                    message,
                    content=self._content(frame.id, frame.seq),
                    version=frame.version,
                    edited_at=frame.at,
                    edited_by=None if frame.from_ == message.from_ else frame.from_,
                )
            case pushes.MessageDeleted():
                self.unknown.discard(frame.id)
                return msgspec.structs.replace(
                    message, content="", mentions=None, reactions=None, deleted=True
                )
            case pushes.Reaction():
                reactions = {
                    emoji: [user for user in users if (emoji, user) != (frame.emoji, frame.from_)]
                    for emoji, users in (message.reactions or {}).items()
                }
                if not frame.remove:
                    reactions.setdefault(frame.emoji, []).append(frame.from_)
                left = {emoji: users for emoji, users in reactions.items() if users}
                return msgspec.structs.replace(message, reactions=left or None)

    def _content(self, message: str, seq: int) -> str:
        content = self._contents.get(seq)
        if content is None:
            self.unknown.add(message)
            return ""
        self.unknown.discard(message)
        return content
