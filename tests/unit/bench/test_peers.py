"""That the patterns of the dialects fit the frames, and what is said where a peer cannot run."""

import json
import re
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.markers import content
from bench.peers.centrifuge import Centrifuge, build
from bench.peers.chatd import _DIRECT, _GROUP, Chatd
from protocol import decode, encode
from protocol.errors import ErrorCode
from protocol.pushes import Error, GroupChat, Success
from protocol.requests import GroupChat as GroupPost
from protocol.requests import OneToOneChat as DirectPost


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
