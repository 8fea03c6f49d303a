"""One absolute time through many steps, and the least progress that we wait for."""

import math
import time
from collections.abc import Callable
from typing import Self

Clock = Callable[[], float]


class Deadline:
    """A moment by which something has to be over, whatever number of steps it takes."""

    __slots__ = ("_clock", "_when")

    def __init__(self, seconds: float, *, clock: Clock = time.monotonic) -> None:
        """``seconds`` from now; ``math.inf`` for never."""
        self._clock = clock
        self._when = clock() + seconds

    @classmethod
    def within(cls, seconds: float | None) -> Self:
        """A deadline that does not come if ``seconds`` is None."""
        return cls(math.inf if seconds is None else seconds)

    @property
    def left(self) -> float:
        """Seconds until then, never below 0; ``math.inf`` if it does not come."""
        return max(0.0, self._when - self._clock())

    @property
    def passed(self) -> bool:
        """Whether it is too late."""
        return self.left == 0.0

    def at_most(self, seconds: float) -> "Deadline":
        """This deadline, or the one ``seconds`` from now if that is earlier."""
        return Deadline(min(seconds, self.left), clock=self._clock)


class Pace:
    """The least progress that is accepted: ``least`` bytes in every ``window`` seconds."""

    __slots__ = ("_clock", "_due", "_least", "_owed", "_window")

    def __init__(self, least: int, window: float, *, clock: Clock = time.monotonic) -> None:
        self._least = least
        self._window = window
        self._clock = clock
        self._owed = least
        self._due = clock() + window

    def kept(self, count: int) -> bool:
        """Note ``count`` more bytes; False if the window is over and still too few have moved."""
        self._owed -= count
        now = self._clock()
        if self._owed <= 0:
            self._owed = self._least
            self._due = now + self._window
        return now < self._due
