"""A host that is not this machine's was blamed on a port."""

import pytest

from tests.support.node import command


@pytest.mark.parametrize("host", ["203.0.113.9", "name.invalid"])
def test_the_host_is_named(host: str) -> None:
    done = command(["serve"], {"host": host})
    assert done.returncode == 2
    assert "CHATD_HOST" in done.stderr and "PORT" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
