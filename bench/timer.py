"""A timer that is precise to some ten microseconds.

The timers of an event loop are in whole milliseconds, which is more than a message takes. The
kernel has better ones, as file descriptors; Python 3.11 has no call for them.
"""

import ctypes
import os
from typing import Final, Self

_CLOCK_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1
_NANOSECONDS: Final = 10**9
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


class Timer:
    """Its descriptor can be read once at `start_ns` of CLOCK_MONOTONIC and after each interval."""

    def __init__(self, start_ns: int, interval_ns: int) -> None:
        self.fd: int = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        setting = _Itimerspec(
            _Timespec(*divmod(max(interval_ns, 1), _NANOSECONDS)),
            _Timespec(*divmod(max(start_ns, 1), _NANOSECONDS)),
        )
        if self.fd < 0 or _libc.timerfd_settime(self.fd, _ABSOLUTE, ctypes.byref(setting), None):
            raise OSError(ctypes.get_errno(), "no timer of the kernel")

    def expired(self) -> None:
        """To be called when the descriptor is readable, so that it waits again."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
