"""chatd.app: what surrounds the composition."""

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_limit_of_open_files_is_raised() -> None:
    code = (
        "import resource; from chatd.app import raise_file_limit\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "print(raise_file_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    connections, soft, hard = (int(word) for word in printed.split())
    assert soft == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert 256 < connections < hard
