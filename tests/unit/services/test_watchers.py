"""chatd.services.watchers"""

from typing import Final

from chatd.services.watchers import ONLINE, UNKNOWN, Seen, Watchers
from protocol.model import PresenceStatus
from tests.support.builders import Reader

OFFLINE: Final = Seen(PresenceStatus.OFFLINE, 1)


def watching(watchers: Watchers, username: str, *watched: str) -> Reader:
    reader = Reader(username)
    watchers.watch(reader.outbox, watched)
    return reader


def told(reader: Reader) -> list[tuple[str, str]]:
    return [(frame["username"], frame["status"]) for frame in reader.frames()]


def test_who_watches_is_told_until_it_is_forgotten() -> None:
    watchers = Watchers()
    alice = watching(watchers, "alice", "bob", "carol")
    dave = watching(watchers, "dave", "bob")
    assert sorted(watchers.usernames()) == ["bob", "carol"]
    assert set(watchers.watched(alice.outbox)) == {"bob", "carol"}
    watchers.tell_all("bob", ONLINE)
    watchers.tell_all("nobody", ONLINE)
    watchers.forget(alice.outbox)
    watchers.tell_all("bob", OFFLINE)
    assert told(alice) == [("bob", "ONLINE")]
    assert told(dave) == [("bob", "ONLINE"), ("bob", "OFFLINE")]
    watchers.forget(dave.outbox)
    assert watchers.usernames() == []
    assert watchers.status("bob") is PresenceStatus.OFFLINE


def test_a_connection_that_is_closed_watches_nobody() -> None:
    watchers = Watchers()
    alice = Reader("alice")
    alice.outbox.close()
    watchers.watch(alice.outbox, ("bob",))
    assert watchers.usernames() == []


def test_who_is_parted_is_told_unknown_and_nothing_more() -> None:
    watchers = Watchers()
    alice = watching(watchers, "alice", "bob")
    for _ in range(2):
        watchers.part(alice.outbox, "bob")
    watchers.tell_all("bob", ONLINE)
    assert told(alice) == [("bob", "UNKNOWN")]


def test_who_was_parted_meanwhile_is_not_told_what_was_found() -> None:
    watchers = Watchers()
    alice = watching(watchers, "alice", "bob")
    mark = watchers.mark
    watchers.part(alice.outbox, "bob")
    for seen in (ONLINE, UNKNOWN):
        watchers.tell(alice.outbox, "bob", seen, mark)
    assert told(alice) == [("bob", "UNKNOWN")]
    assert watchers.usernames() == []


def test_what_was_heard_after_a_look_up_is_newer() -> None:
    watchers = Watchers()
    alice = watching(watchers, "alice", "bob")
    mark = watchers.mark
    watchers.tell_all("bob", ONLINE)
    watchers.tell(alice.outbox, "bob", OFFLINE, mark)
    watchers.found("bob", OFFLINE, mark)
    assert told(alice) == [("bob", "ONLINE")]
    assert watchers.status("bob") is PresenceStatus.ONLINE


def test_a_look_up_that_found_a_change_tells_all() -> None:
    watchers = Watchers()
    alice, carol = watching(watchers, "alice", "bob"), watching(watchers, "carol", "bob")
    watchers.tell(alice.outbox, "bob", ONLINE, watchers.mark)
    assert told(alice) == told(carol) == [("bob", "ONLINE")]
    watchers.tell(carol.outbox, "bob", ONLINE, watchers.mark)
    assert told(alice) == [("bob", "ONLINE")]
    assert told(carol) == [("bob", "ONLINE"), ("bob", "ONLINE")]
    watchers.found("bob", ONLINE, watchers.mark)
    assert told(alice) == [("bob", "ONLINE")]
    watchers.found("bob", OFFLINE, watchers.mark)
    assert told(alice)[1:] == told(carol)[2:] == [("bob", "OFFLINE")]


def test_unknown_is_no_news_for_others_and_what_follows_it_is() -> None:
    watchers = Watchers()
    alice = watching(watchers, "alice", "bob")
    watchers.tell_all("bob", ONLINE)
    carol = watching(watchers, "carol", "bob")
    watchers.tell(carol.outbox, "bob", UNKNOWN, watchers.mark)
    assert (told(alice), told(carol)) == ([("bob", "ONLINE")], [("bob", "UNKNOWN")])
    watchers.found("bob", ONLINE, watchers.mark)
    assert told(carol) == [("bob", "UNKNOWN"), ("bob", "ONLINE")]
