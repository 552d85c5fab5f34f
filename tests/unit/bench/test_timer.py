import select
import time

from bench.timer import Timer


def test_it_expires_again_and_again_but_not_before_its_start() -> None:
    start_ns = time.monotonic_ns() + 2_000_000
    with Timer(start_ns, 1_000_000) as timer:
        for expiry in range(3):
            assert select.select([timer.fd], [], [], 10)[0]
            timer.expired()
            assert time.monotonic_ns() >= start_ns + expiry * 1_000_000


def test_reading_it_early_does_not_block() -> None:
    with Timer(time.monotonic_ns() + 10**12, 10**12) as timer:
        timer.expired()
        assert not select.select([timer.fd], [], [], 0)[0]
