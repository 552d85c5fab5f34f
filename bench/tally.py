"""What was lost, came twice or out of order: counted from what each connection received."""

from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self


@dataclass
class Tally:
    expected: int = 0
    delivered: int = 0
    """Different messages that came; repeats are in `duplicates`."""
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    """Messages that came after one which the order has later."""
    strays: int = 0
    """Messages that were not for the connection that got them."""
    unacked: int = 0
    """Messages whose sender was never told that they are stored."""

    def __iadd__(self, other: Self) -> Self:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self

    @property
    def faults(self) -> int:
        return self.lost + self.duplicates + self.reordered + self.strays + self.unacked

    @property
    def is_clean(self) -> bool:
        return not self.faults


def tally(
    received: Sequence[int], expected: Collection[int], rank: Mapping[int, int] | None = None
) -> Tally:
    """The account of one connection.

    Args:
        received: message numbers in the order of arrival.
        expected: what it should have received.
        rank: the place of each number in the right order; without it they should ascend. A
            number that is not in it has no right place.
    """
    wanted = set(expected)
    seen: set[int] = set()
    result = Tally(expected=len(wanted))
    highest = -1
    for number in received:
        if number in seen:
            result.duplicates += 1
            continue
        seen.add(number)
        if number not in wanted:
            result.strays += 1
            continue
        place = number if rank is None else rank.get(number, highest)
        if place < highest:
            result.reordered += 1
        else:
            highest = place
    result.delivered = len(seen & wanted)
    result.lost = len(wanted) - result.delivered
    return result


def tally_group(
    received: Mapping[int, Sequence[int]],
    numbers: Collection[int],
    sender_of: Callable[[int], int],
    *,
    has_echo: bool,
) -> Tally:
    """The account of a group: everybody gets everything, and all get it in one order.

    Args:
        received: per member, the numbers in the order of arrival. Member 0 only reads, and its
            order is the one that the others must have.
        numbers: the messages that were sent.
        sender_of: the member who sent a number. The messages of one sender must ascend.
        has_echo: whether senders receive their own messages too.
    """
    reference = received[0]
    rank = {number: place for place, number in reversed(list(enumerate(reference)))}
    by_sender: dict[int, list[int]] = {}
    for number in numbers:
        by_sender.setdefault(sender_of(number), []).append(number)
    total = Tally()
    everything = set(numbers)
    for member, theirs in received.items():
        own = () if has_echo else by_sender.get(member, ())
        total += tally(theirs, everything.difference(own), rank)
    newest: dict[int, int] = {}
    for number in sorted(rank, key=rank.__getitem__):
        sender = sender_of(number)
        if number < newest.get(sender, -1):
            total.reordered += 1
        newest[sender] = max(number, newest.get(sender, -1))
    return total


def tally_pairs(
    received: Mapping[int, Sequence[int]],
    numbers: Collection[int],
    recipient_of: Callable[[int], int],
) -> Tally:
    """The account of messages with one recipient each; they must arrive in ascending order."""
    expected: dict[int, list[int]] = {}
    for number in numbers:
        expected.setdefault(recipient_of(number), []).append(number)
    total = Tally()
    for seat in received.keys() | expected.keys():
        total += tally(received.get(seat, ()), expected.get(seat, ()))
    return total


def tally_everybody(received: Mapping[int, Sequence[int]], numbers: Sequence[int]) -> Tally:
    """The account where everybody gets everything, in ascending order."""
    total = Tally()
    right = array("i", sorted(numbers))
    for theirs in received.values():
        if theirs == right:  # by far the most, and there may be millions
            total += Tally(expected=len(right), delivered=len(right))
        else:
            total += tally(theirs, right)
    return total


def tally_conversations(
    received: Mapping[int, Sequence[int]], expected: Sequence[Sequence[range]]
) -> Tally:
    """The account of conversations whose messages are numbered in ranges; the order of one says
    nothing about another.

    Args:
        expected: per seat, the numbers of each of its conversations.
    """
    total = Tally()
    for seat, ranges in enumerate(expected):
        theirs = received.get(seat, ())
        for numbers in ranges:
            total += tally([number for number in theirs if number in numbers], numbers)
        total.strays += sum(not any(number in one for one in ranges) for number in theirs)
    return total
