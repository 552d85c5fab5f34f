"""Every key in Redis is one of those that the docs name, and ends as they say."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from chatd.fabric.client_redis import RedisClient

_PAGE: Final = Path(__file__).parents[2] / "docs" / "operations.md"
_OWNED: Final = "owned"


def documented() -> dict[str, str]:
    """From the table "Keys in Redis": keys, their variable parts as `*`, and how each ends."""
    section = _PAGE.read_text().partition("\n## Keys in Redis\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+`) \|.*\| ([^|]+) \|$", section, re.MULTILINE)
    return {
        re.sub(r"[A-Z]+", "*", key): ends
        for keys, ends in rows
        for key in re.findall(r"`([^`]+)`", keys)
    }


async def check_keys(client: RedisClient) -> int:
    """How many keys there are; each must be in the table, and have a time to live unless that says
    whose it is."""
    table = documented()
    keys: list[bytes] = await client.call("KEYS", "*")
    for key in map(bytes.decode, keys):
        ends = [ends for pattern, ends in table.items() if fnmatchcase(key, pattern)]
        assert ends, f"{key} is not in the table of {_PAGE.name}"
        if not ends[0].startswith(_OWNED):
            # -2: it has ended since.
            assert await client.call("PTTL", key) != -1, f"{key} has no time to live"
    return len(keys)
