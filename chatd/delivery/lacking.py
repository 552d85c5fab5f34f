"""What a connection was not sent of a conversation, below its position: ranges of numbers.

Each is (low, high), low exclusive and high inclusive; ascending, apart. A connection that starts at
its user's delivered cursor lacks everything below; what is skipped, because it is the user's own or
the client said that it has it, is lacking too: a RESUME may ask for it, once.
"""

from typing import Final

Range = tuple[int, int]
Lacking = tuple[Range, ...]

NOTHING: Final[Lacking] = ()
RANGES: Final = 1_000
"""Of one connection and conversation. At the limit the lowest two become one: what lies between
them may come twice."""


def below(position: int) -> Lacking:
    """Everything up to a position."""
    return ((0, position),) if position > 0 else NOTHING


def add(lacking: Lacking, low: int, high: int) -> Lacking:
    """With another range, above all that are there."""
    if lacking and lacking[-1][1] >= low:
        return (*lacking[:-1], (lacking[-1][0], high))
    if len(lacking) >= RANGES:
        lacking = ((lacking[0][0], lacking[1][1]), *lacking[2:])
    return (*lacking, (low, high))


def take(lacking: Lacking, above: int) -> tuple[list[Range], Lacking]:
    """What of it is above a number, and what is not."""
    wanted = [(max(low, above), high) for low, high in lacking if high > above]
    rest = tuple((low, min(high, above)) for low, high in lacking if low < above)
    return wanted, rest
