"""Histories made by hand, for the tests of the checks: a server that does what it promised, and is
told by each test what to do wrong once."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from protocol import pushes, requests
from protocol.errors import ErrorCode
from protocol.model import GroupSummary, HistoryMessage, HistoryVisibility, Role, User
from protocol.pushes import Push, Reply, Success
from protocol.requests import Request
from tests.checker import history
from tests.checker.fold import Fold
from tests.checker.history import AnyRecord
from tests.checker.story import EventFrame

Change = requests.EditMessage | requests.DeleteMessage | requests.React

GROUP: Final = "77"
ANN: Final = "ann"
BEN: Final = "ben"


class Tale:
    """Ann and Ben in a group that Ann made, event 1. Connections are known by the numbers of their
    first records."""

    def __init__(self) -> None:
        self.records: list[AnyRecord] = []
        self.log: list[EventFrame] = []
        """The events of the group; a test may change what is stored."""
        self.contents: dict[int, str] = {}
        """What posts and edits said."""
        self._live: list[int] = []
        self._log(
            pushes.GroupCreated(
                group_id=GROUP,
                name="group",
                by=ANN,
                members=[ANN, BEN],
                open=True,
                history=HistoryVisibility.JOINED,
                at=1,
                seq=1,
                prev=0,
            )
        )

    @property
    def head(self) -> int:
        return self.log[-1].seq

    def come(
        self,
        user: str,
        *,
        device: str | None = None,
        resumes: bool = False,
        log_id: str = "log",
        node: int = 0,
    ) -> int:
        """A connection that is sent nothing by itself so far."""
        number = len(self.records)
        self.add(
            history.Connecting(
                connection=number,
                device=device or f"{user}/1",
                user=user,
                resumes=resumes,
                node=node,
            )
        )
        self.add(history.Connected(connection=number, log_id=log_id))
        return number

    def resume(self, connection: int, position: int, *, up_to: int | None = None) -> None:
        """RESUME, and all that it brings, or not all; from now on the connection is live."""
        asked = self.ask(connection, requests.Resume(positions={GROUP: position}))
        self.tell_stored(connection, position, up_to)
        self.answer(connection, asked, Success())
        self.live(connection)

    def arrive(
        self, user: str, *, device: str | None = None, position: int = 0, node: int = 0
    ) -> int:
        """A connection that resumed."""
        connection = self.come(user, device=device, resumes=True, node=node)
        self.resume(connection, position)
        return connection

    def live(self, connection: int) -> None:
        """From now on it is told of every event."""
        self._live.append(connection)

    def end(self, connection: int, how: str = "abort", code: int = 1006) -> None:
        if connection in self._live:
            self._live.remove(connection)
        self.add(history.Ended(connection=connection, how=how, code=code))

    def post(
        self,
        connection: int,
        key: str,
        *,
        is_acked: bool = True,
        not_to: Collection[int] = (),
    ) -> Success:
        """A post to the group; its ack, whether it is sent or not."""
        content = f"content of {key}"
        asked = self.ask(
            connection,
            requests.GroupChat(group_id=GROUP, content=content, client_msg_id=key),
        )
        frame = self.message(self.user_of(connection), key)
        self._log(frame)
        ack = self.ack_of(frame)
        if is_acked:
            self.answer(connection, asked, ack)
        self.tell_live(frame, besides=[connection, *not_to])
        return ack

    def message(self, user: str, key: str) -> pushes.GroupChat:
        """The next event, if it is this post."""
        seq = self.head + 1
        return pushes.GroupChat(
            id=f"id{seq}",
            seq=seq,
            prev=seq - 1,
            group_id=GROUP,
            from_=user,
            content=f"content of {key}",
            sent_at=seq,
            client_msg_id=key,
        )

    def ack_of(self, frame: pushes.GroupChat) -> Success:
        return Success(
            id=frame.id,
            seq=frame.seq,
            prev=frame.prev,
            group_id=GROUP,
            sent_at=frame.sent_at,
            client_msg_id=frame.client_msg_id,
        )

    def change(self, connection: int, request: Change, *, version: int = 0) -> None:
        """An edit, a delete or a reaction, acked and told to everybody else."""
        asked = self.ask(connection, request)
        seq, user = self.head + 1, self.user_of(connection)
        common: dict[str, Any] = {
            "group_id": GROUP,
            "id": request.id,
            "from_": user,
            "at": seq,
            "seq": seq,
            "prev": seq - 1,
        }
        frame: EventFrame
        match request:
            case requests.EditMessage():
                frame = pushes.MessageEdited(**common, content=request.content, version=version)
            case requests.React():
                frame = pushes.Reaction(**common, emoji=request.emoji, remove=request.remove)
            case _:
                frame = pushes.MessageDeleted(**common)
                self.log = [_blanked(event, request.id) for event in self.log]
        self._log(frame)
        ack = Success(id=request.id, seq=seq, prev=seq - 1, group_id=GROUP, version=version or None)
        self.answer(connection, asked, ack)
        self.tell_live(frame, besides=[connection])

    def move(self, connection: int, *, is_in: bool) -> None:
        """The user of the connection leaves the group or joins it; the connection is told."""
        user, seq = self.user_of(connection), self.head + 1
        frame_type = pushes.GroupMemberJoined if is_in else pushes.GroupMemberLeft
        frame = frame_type(group_id=GROUP, username=user, by=user, at=seq, seq=seq, prev=seq - 1)
        self._log(frame)
        self.tell_live(frame)

    def ask(self, connection: int, request: Request, *, with_ref: bool = True) -> int:
        number = len(self.records)
        if with_ref:
            request = msgspec.structs.replace(request, ref=str(number))
        return self.add(history.Asked(connection=connection, request=request))

    def answer(self, connection: int, asked: int | None, reply: Reply) -> None:
        self.add(history.Answered(connection=connection, asked=asked, reply=reply))

    def refuse(self, connection: int, request: Request, code: ErrorCode) -> None:
        asked = self.ask(connection, request)
        self.answer(connection, asked, pushes.Error(code=code, msg="no", temporary=False))

    def tell(self, connection: int, frame: Push) -> None:
        self.add(history.Told(connection=connection, frame=frame))

    def tell_stored(self, connection: int, after: int, up_to: int | None = None) -> None:
        """What the log has above `after`."""
        last = self.head if up_to is None else up_to
        for event in self.log:
            if after < event.seq <= last:
                self.tell(connection, msgspec.structs.replace(event, offline=True))

    def tell_live(self, frame: EventFrame, *, besides: Collection[int] = ()) -> None:
        for connection in self._live:
            if connection not in besides:
                self.tell(connection, frame)

    def settle(self, connection: int) -> None:
        self.add(history.Settled(connection=connection, heads={GROUP: self.head}))

    def summary(self, connection: int, *, delivered: int, read: int, head: int) -> None:
        """INIT_DATA, asked and answered."""
        asked = self.ask(connection, requests.InitData())
        group = GroupSummary(
            group_id=GROUP,
            name="group",
            role=Role.MEMBER,
            member_count=2,
            last_seq=head,
            delivered_seq=delivered,
            read_seq=read,
            unread=0,
        )
        user = User(username=self.user_of(connection))
        reply = pushes.InitData(user=user, chats=[], groups=[group], has_more=False)
        self.answer(connection, asked, reply)

    def page(
        self,
        connection: int,
        messages: list[HistoryMessage] | None = None,
        *,
        head: int | None = None,
    ) -> None:
        """The whole history, asked and answered: what is stored, or something else."""
        asked = self.ask(
            connection, requests.GetGroupChatHistory(group_id=GROUP, after=0, limit=200)
        )
        shown = self.messages() if messages is None else messages
        self.answer(
            connection,
            asked,
            pushes.GroupChatHistory(
                group_id=GROUP, messages=shown, has_more=False, head_seq=head or self.head
            ),
        )

    def messages(self) -> list[HistoryMessage]:
        """What the log makes of the messages."""
        fold = Fold(self.contents)
        for event in self.log:
            fold.apply(event)
        return [*fold.messages.values()]

    def audited(self, messages: list[HistoryMessage] | None = None) -> list[AnyRecord]:
        """Ann reads everything at the end; the whole history."""
        reader = self.arrive(ANN, device="ann/audit")
        self.page(reader, messages)
        self.add(history.Audited(connection=reader, conversations=[GROUP]))
        return self.records

    def user_of(self, connection: int) -> str:
        record = self.records[connection]
        assert isinstance(record, history.Connecting)
        return record.user

    def add(self, record: AnyRecord) -> int:
        self.records.append(record)
        return len(self.records) - 1

    def _log(self, frame: EventFrame) -> None:
        self.log.append(frame)
        if isinstance(frame, pushes.GroupChat | pushes.MessageEdited):
            self.contents[frame.seq] = frame.content


def _blanked(event: EventFrame, message: str) -> EventFrame:
    if isinstance(event, pushes.GroupChat | pushes.MessageEdited) and event.id == message:
        return msgspec.structs.replace(event, content="")
    return event
