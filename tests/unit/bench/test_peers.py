"""That the patterns of the dialects fit the frames, and what is said where a peer cannot run."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.markers import content
from bench.opening import Replies
from bench.peers.centrifuge import Centrifuge, build
from bench.peers.chatd import _DIRECT, _GROUP, Chatd
from bench.peers.child import ChildPeer
from bench.processes import ChildServer
from protocol import decode, encode
from protocol.errors import ErrorCode
from protocol.pushes import (
    DeliveryReceipt,
    Error,
    GroupChat,
    OneToOneChat,
    Resync,
    ServerFrame,
    Success,
)
from protocol.requests import GroupChat as GroupPost
from protocol.requests import OneToOneChat as DirectPost
from protocol.requests import Resume


def test_the_ack_of_chatd_is_read() -> None:
    ack = encode(Success(id="a1.g", seq=1, prev=0, sent_at=3, client_msg_id="b1234"))
    (match,) = re.finditer(Chatd.dialect.ack, ack)
    assert match[1] == b"1234"


def test_a_push_of_chatd_is_neither_ack_nor_refusal() -> None:
    push = encode(
        GroupChat(
            id="a1.g",
            seq=1,
            prev=0,
            group_id="g",
            from_="ann",
            content=content(5, 6, ""),
            sent_at=3,
            client_msg_id="b5",
        )
    )
    assert not re.search(Chatd.dialect.ack, push)
    assert not re.search(Chatd.dialect.refusal, push)


def test_an_error_of_chatd_is_read() -> None:
    error = encode(Error(code=ErrorCode.UNAVAILABLE, msg="later", temporary=True))
    match = re.search(Chatd.dialect.refusal, error)
    assert match is not None
    assert b"UNAVAILABLE" in match[0]


@pytest.mark.parametrize("offline", [False, True])
def test_a_message_of_chatd_tells_its_position(offline: bool) -> None:
    event = Replies(Chatd.dialect).event
    group = GroupChat(
        id="a1.g",
        seq=12,
        prev=11,
        group_id="g7",
        from_="ann",
        content=content(5, 6, ""),
        sent_at=3,
        offline=offline,
    )
    direct = OneToOneChat(
        id="a1.d",
        seq=3,
        prev=2,
        chat_id="ann-bob",
        from_="ann",
        to="bob",
        content=content(5, 6, ""),
        sent_at=3,
        offline=offline,
    )
    assert event.findall(encode(group) + encode(direct)) == [(b"12", b"g7"), (b"3", b"ann-bob")]


@pytest.mark.parametrize(
    "frame",
    [
        Success(ref="resume"),
        Resync(group_id="g", after_seq=3),
        DeliveryReceipt(chat_id="ann-bob", username="bob", seq=3),
    ],
    ids=["success", "resync", "receipt"],
)
def test_other_frames_of_chatd_tell_none(frame: ServerFrame) -> None:
    assert not Replies(Chatd.dialect).event.search(encode(frame))


def test_chatd_is_told_what_a_client_has() -> None:
    text = Chatd.dialect.resume % {"positions": '{"ann-bob": 3}'}
    assert decode(text.encode()) == Resume(ref="resume", positions={"ann-bob": 3})
    reply = encode(Success(ref="resume", errors={"g": ErrorCode.NOT_A_MEMBER}))
    assert reply.startswith(Chatd.dialect.resumed)
    assert encode(Success(ref="resume")).startswith(Chatd.dialect.resumed)
    assert Chatd.dialect.resumed not in encode(Success(ref="resume2"))


def test_a_peer_that_does_not_start_is_stopped(tmp_path: Path) -> None:
    started: list[ChildServer] = []

    class Sleeper(ChildPeer):
        def _start(self) -> None:
            command = [sys.executable, "-c", "import time; time.sleep(600)"]
            server = ChildServer("sleeper", command, os.environ, tmp_path / "log", None)
            self._servers.append(server)
            started.append(server)
            raise BenchError("it only sleeps")

    with pytest.raises(BenchError, match="it only sleeps"), Sleeper(tmp_path, None):
        raise AssertionError("it was entered")
    (pid,) = started[0].pids
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(("template", "kind"), [(_GROUP, GroupPost), (_DIRECT, DirectPost)])
def test_posts_to_chatd_are_requests(template: str, kind: type) -> None:
    text = template.replace("{to}", "ann") % {"number": 12, "content": content(12, 3, "xx")}
    request = decode(text.encode())
    assert isinstance(request, kind)
    assert isinstance(request, GroupPost | DirectPost)
    assert (request.content, request.client_msg_id) == (content(12, 3, "xx"), "b12")


def test_acks_of_centrifuge_are_read_from_one_frame_with_others() -> None:
    frame = b"\n".join(
        (
            b'{"push":{"channel":"room","pub":{"data":{}}}}',
            b'{"id":10,"publish":{}}',
            b'{"id":1123,"publish":{}}',
        )
    )
    assert re.findall(Centrifuge.dialect.ack, frame) == [b"0", b"123"]
    assert re.search(Centrifuge.dialect.refusal, b'{"id":10,"error":{"code":103}}')


def test_posts_to_centrifuge_are_json(tmp_path: Path) -> None:
    first, second = Centrifuge(tmp_path, None).pair_seats(1)
    post = json.loads(first.post % {"number": 0, "content": "c"})
    assert post["id"] == 10
    assert post["publish"] == {"channel": "d:user1", "data": {"from": "user0", "content": "c"}}
    assert '"channel":"d:user1"' in second.steps[1].send


def test_without_go_the_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="no `go` on the PATH"):
        build()


def test_a_go_that_cannot_build_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho first >&2\necho 'module needs go 9' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BenchError, match="`go build` failed: module needs go 9"):
        build()
