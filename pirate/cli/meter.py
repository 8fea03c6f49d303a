"""How fast a download runs, and what each holder gives, measured over the last seconds."""

import threading
import time
from collections import deque
from typing import NamedTuple

from pirate.deadline import Clock
from pirate.model import Peer

# A rate is that of so many seconds: long enough not to flicker, short enough to be the present.
WINDOW_SECONDS = 5.0
_MARK_SECONDS = 0.1


class Gauge:
    """A moving rate of a count that grows."""

    def __init__(self, count: int, now: float) -> None:
        self._marks = deque([(now, count)])  # the oldest is the one that the rate begins at
        self._last = now, count

    def note(self, count: int, now: float) -> None:
        """It has grown to ``count``."""
        self._last = now, count
        if now - self._marks[-1][0] >= _MARK_SECONDS:
            self._marks.append(self._last)
        while len(self._marks) > 1 and now - self._marks[1][0] >= WINDOW_SECONDS:
            self._marks.popleft()

    def rate(self, now: float) -> float:
        """A second, until ``now``: what has not grown for long counts, too."""
        began, first = self._marks[0]
        return max(0, self._last[1] - first) / max(1e-3, now - began)


class Giving(NamedTuple):
    """What a holder gives now, in bytes a second, and has given."""

    peer: Peer
    rate: float
    given: int


class Meter:
    """The figures of one download, and when to show them again. Safe to use from any thread."""

    def __init__(self, interval: float, *, clock: Clock = time.monotonic) -> None:
        """``interval``: seconds between two showings."""
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()  # guards all below
        self._shown = clock()
        self._gauge = Gauge(0, self._shown)
        self._holders: dict[Peer, tuple[int, Gauge]] = {}
        self.done = 0
        self.size = 0

    def start(self, size: int, resumed: int) -> None:
        """A download begins, with ``resumed`` bytes from before."""
        with self._lock:
            self.done, self.size = resumed, size
            self._shown = self._clock()
            self._gauge = Gauge(resumed, self._shown)
            self._holders = {}

    def progress(self, done: int, size: int) -> bool:
        """``done`` of ``size`` bytes are proven; whether it is time to show something."""
        with self._lock:
            now = self._clock()
            self.done, self.size = done, size
            self._gauge.note(done, now)
            if now - self._shown < self._interval:
                return False
            self._shown = now
            return True

    def added(self, peer: Peer) -> None:
        """``peer`` gives from now on."""
        with self._lock:
            self._holders[peer] = 0, Gauge(0, self._clock())

    def gave(self, peer: Peer, count: int) -> None:
        """``count`` more bytes have come from it."""
        with self._lock:
            if peer in self._holders:
                given, gauge = self._holders[peer]
                gauge.note(given + count, self._clock())
                self._holders[peer] = given + count, gauge

    def dropped(self, peer: Peer) -> None:
        """It gives no more."""
        with self._lock:
            self._holders.pop(peer, None)

    @property
    def rate(self) -> float:
        """Proven bytes a second."""
        with self._lock:
            return self._gauge.rate(self._clock())

    @property
    def left(self) -> float | None:
        """Seconds until the end at this speed; None if nothing moves."""
        rate = self.rate
        return max(0, self.size - self.done) / rate if rate else None

    @property
    def holders(self) -> list[Giving]:
        """Who gives, the fastest first."""
        with self._lock:
            now = self._clock()
            giving = [
                Giving(peer, gauge.rate(now), given)
                for peer, (given, gauge) in self._holders.items()
            ]
        return sorted(giving, key=lambda each: -each.rate)
