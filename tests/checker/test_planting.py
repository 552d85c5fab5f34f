"""Bugs of nodes can be planted; that they are found is seen by hand, `--plant` plays one."""

from pathlib import Path

import pytest

from tests.checker.ground import Chosen
from tests.checker.planting import FAULTS_OF_NODES, Fault, all_faults, plant
from tests.support.node import ROOT


@pytest.mark.parametrize("fault", all_faults(FAULTS_OF_NODES), ids=lambda fault: fault.name)
def test_a_fault_of_nodes_can_be_planted(fault: Fault, tmp_path: Path) -> None:
    code = plant(fault, ROOT, tmp_path / "code")
    for file in {one.file for one in fault.replacements}:
        assert (code / file).read_text() != (ROOT / file).read_text()
    assert fault.found_as
    assert {*fault.trouble} <= {*Chosen}
