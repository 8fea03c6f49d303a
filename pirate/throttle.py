"""A limit on speed, shared by all threads that move bytes under it."""

import threading
import time
from typing import Protocol

from pirate.deadline import Clock

# What was not spent for so long may be spent at once: time that the bytes themselves take, or
# a thread to wake up, is no loss then. In the long run the rate is kept all the same.
CREDIT_SECONDS = 0.1

# How many pieces make up a second, and how small and large they are in bytes: a low rate flows
# rather than drips, a high one costs few turns.
PIECES = 16
LEAST_PIECE = 4 * 1024
MOST_PIECE = 1024 * 1024


class Waiting(Protocol):
    """What can be waited on, as ``Stop`` can."""

    def wait(self, seconds: float) -> object:
        """Sleep so long, or less if it is set."""


class Throttle:
    """At most ``rate`` bytes a second in the long run, for any number of threads."""

    def __init__(self, rate: float, *, clock: Clock = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._lock = threading.Lock()  # guards _paid
        self._paid = clock()  # until when what was spent is paid for

    @property
    def piece(self) -> int:
        """Bytes to spend at once."""
        return min(MOST_PIECE, max(LEAST_PIECE, int(self.rate / PIECES)))

    def spend(self, count: int, stop: Waiting) -> None:
        """Wait until ``count`` more bytes may move, or until stopped. First come, first served."""
        with self._lock:
            now = self._clock()
            self._paid = max(now - CREDIT_SECONDS, self._paid) + count / self.rate
            wait = self._paid - now
        if wait > 0:
            stop.wait(wait)
