"""Histories on disk, and what is recorded of a long content."""

from pathlib import Path

from protocol import pushes, requests
from protocol.model import HistoryMessage
from tests.checker import history
from tests.checker.tale import ANN, GROUP, Tale


def test_a_saved_history_is_loaded_as_it_was(tmp_path: Path) -> None:
    tale = Tale()
    ann = tale.arrive(ANN)
    tale.post(ann, "a")
    tale.change(ann, requests.React(group_id=GROUP, id="id2", emoji="👍"))
    tale.summary(ann, delivered=2, read=1, head=3)
    tale.tell(ann, pushes.Resync(group_id=GROUP, after_seq=3))
    tale.add(history.Garbled(connection=ann, problem="not JSON"))
    tale.add(history.ShutOut(connection=ann, problem="HTTP 401"))
    tale.add(history.Killed(at=7))
    tale.add(history.Restarted())
    tale.settle(ann)
    tale.end(ann)
    records = tale.audited()
    path = tmp_path / "history.jsonl"
    history.save(records, path)
    assert history.load(path) == records
    assert path.read_text().splitlines()[0].startswith('{"n":0,"what":"connecting"')


def test_a_long_content_is_recorded_by_its_beginning_length_and_digest() -> None:
    assert history.short("as it is") == "as it is"
    long = "x" * 15_000
    assert history.short(long).startswith("xxx") and "15000" in history.short(long)
    assert len(history.short(long)) < 200
    assert history.short(long) != history.short(f"{long[:-1]}y")


def test_contents_in_pages_are_shortened_too() -> None:
    message = HistoryMessage(
        id="id", seq=1, prev=0, from_=ANN, content="x" * 500, sent_at=1, version=1
    )
    page = pushes.GroupChatHistory(group_id=GROUP, messages=[message], has_more=False, head_seq=1)
    history.shorten(page)
    assert page.messages[0].content == history.short("x" * 500)
