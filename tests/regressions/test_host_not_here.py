"""A host that is not this machine's was blamed on a port."""

from pathlib import Path

import pytest

from tests.support.node import command


@pytest.mark.parametrize("host", ["203.0.113.9", "name.invalid"])
def test_the_host_is_named(host: str, tmp_path: Path) -> None:
    done = command(["serve"], {"host": host, "data_dir": str(tmp_path)})
    assert done.returncode == 2
    assert "CHATD_HOST" in done.stderr and "PORT" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
