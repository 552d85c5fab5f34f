"""A variable CHATD_… that names no setting ended the process with a traceback."""

import pytest

from tests.support.node import command


@pytest.mark.parametrize("name", ["colour", ""])
def test_it_is_refused_by_its_name(name: str) -> None:
    done = command(["check-config"], {name: "red"})
    assert done.returncode == 2
    assert f"CHATD_{name.upper()}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
