"""chatd.fabric.push_slots_redis"""

from collections.abc import Iterator

import pytest
from redis import Redis

from chatd.fabric.push_slots_redis import WAITS_SECONDS, PushSlots, Slot
from chatd.fabric.queue_client_redis import connect
from tests.support.redis_database import own_database
from tests.support.services import service

PAUSE_SECONDS = 100
BOB = Slot("bob", "alice-bob", "1")
OTHER_BOB = BOB._replace(token="2")
LATER_BOB = BOB._replace(token="3")
CAROL = Slot("carol", "7", "4")
BOB_IN_7 = Slot("bob", "7", "5")


@pytest.fixture
def redis() -> Iterator[Redis]:
    with connect(own_database(service("redis-queue")["CHATD_QUEUE_REDIS_URL"])) as redis:
        redis.flushdb()
        yield redis


@pytest.fixture
def slots(redis: Redis) -> PushSlots:
    return PushSlots(redis, PAUSE_SECONDS)


def test_one_waits_and_the_others_are_left_to_it(slots: PushSlots) -> None:
    assert slots.claim([BOB, OTHER_BOB, CAROL, BOB_IN_7]) == [0, None, 0, 0]
    assert slots.claim([LATER_BOB]) == [None]
    assert slots.begin([BOB, CAROL]) == [True, True]


def test_the_next_waits_until_the_pause_is_over(slots: PushSlots, redis: Redis) -> None:
    slots.claim([BOB])
    assert slots.begin([BOB]) == [True]
    (pause,) = slots.claim([OTHER_BOB])
    assert pause is not None and PAUSE_SECONDS - 20 < pause <= PAUSE_SECONDS
    assert slots.claim([LATER_BOB]) == [None]
    # Its time has come, or nearly: RQ counts in whole seconds.
    assert slots.begin([OTHER_BOB]) == [True]
    (pause,) = slots.claim([LATER_BOB])
    assert pause is not None and pause > PAUSE_SECONDS - 20


def test_without_a_pause_the_next_begins_at_once(redis: Redis) -> None:
    slots = PushSlots(redis, 0)
    for one in (BOB, OTHER_BOB, LATER_BOB):
        assert slots.claim([one]) == [0]
        assert slots.begin([one]) == [True]


def test_a_push_whose_worker_died_is_made_again(slots: PushSlots) -> None:
    slots.claim([BOB])
    assert slots.begin([BOB]) == [True]
    assert slots.begin([BOB]) == [True]
    slots.claim([OTHER_BOB])
    assert slots.begin([BOB]) == [True], "it was not made, for all that is known"


def test_a_push_that_was_taken_for_lost_is_not_made_too(slots: PushSlots, redis: Redis) -> None:
    slots.claim([BOB])
    redis.flushdb()
    slots.claim([OTHER_BOB])
    assert slots.begin([BOB]) == [False], "another waits"
    assert slots.begin([OTHER_BOB]) == [True]
    assert slots.begin([BOB]) == [False], "another was made"


def test_a_push_of_which_nothing_is_known_is_made(slots: PushSlots) -> None:
    assert slots.begin([BOB]) == [True]


def test_one_that_failed_waits_again(slots: PushSlots) -> None:
    slots.claim([BOB, CAROL])
    slots.begin([BOB, CAROL])
    assert slots.wait_again([BOB], 10) == [True]
    assert slots.claim([OTHER_BOB]) == [None]
    assert slots.begin([BOB]) == [True]


def test_one_that_failed_is_left_to_another_that_waits(slots: PushSlots) -> None:
    slots.claim([BOB, CAROL])
    slots.begin([BOB, CAROL])
    slots.claim([OTHER_BOB])
    assert slots.wait_again([BOB, CAROL], 10) == [False, True]
    assert slots.begin([OTHER_BOB, CAROL]) == [True, True]


def test_one_that_is_not_made_after_all_blocks_nobody(slots: PushSlots) -> None:
    slots.claim([BOB, CAROL])
    slots.release([BOB, OTHER_BOB])
    assert slots.claim([OTHER_BOB, CAROL]) == [0, None]
    slots.release([BOB])
    assert slots.claim([LATER_BOB]) == [None], "not its own"


def test_many_at_once(slots: PushSlots) -> None:
    many = [Slot(f"user{n}", "7", f"{n}") for n in range(1_001)]
    assert slots.claim(many) == [0] * len(many)
    assert slots.claim(many) == [None] * len(many)
    assert slots.begin(many) == [True] * len(many)
    assert slots.claim([]) == []


def test_what_was_lost_is_forgotten_some_day(slots: PushSlots, redis: Redis) -> None:
    slots.claim([BOB])
    slots.begin([BOB])
    slots.claim([OTHER_BOB])
    slots.wait_again([CAROL], 50)
    keys = [str(key, "ascii") for key in redis.keys() if isinstance(key, bytes)]
    lives = {key.split(":", 2)[2]: redis.ttl(key) for key in keys}
    assert lives.keys() == {"waits:bob/alice-bob", "begun:bob/alice-bob", "waits:carol/7"}
    for key, most in (
        ("waits:bob/alice-bob", WAITS_SECONDS + PAUSE_SECONDS),
        ("begun:bob/alice-bob", PAUSE_SECONDS),
        ("waits:carol/7", WAITS_SECONDS + 50),
    ):
        assert most - 20 < lives[key] <= most
