"""What a device has of a conversation."""


class Position:
    """A device has every event up to `reached`, or may not read it."""

    __slots__ = ("_above", "reached")

    def __init__(self) -> None:
        self.reached = 0
        self._above: set[int] = set()

    def note(self, seq: int) -> None:
        """It has this event."""
        if seq > self.reached:
            self._above.add(seq)
            self._close_up()

    def begin(self, seq: int) -> None:
        """What is before this event is not for it."""
        if seq > self.reached:
            self.reached = seq
            self._above = {number for number in self._above if number > seq}
            self._close_up()

    def forget(self, kept: float) -> None:
        """It has only the first part of what it had."""
        self.reached = int(self.reached * kept)
        self._above = set()

    def _close_up(self) -> None:
        while self.reached + 1 in self._above:
            self.reached += 1
            self._above.remove(self.reached)
