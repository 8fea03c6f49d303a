"""When everybody is asked again: soon, when a busy peer says, or no more."""

import random
from collections.abc import Iterable

from pirate.errors import PeerError, RefusedError
from pirate.policy.backoff import Backoff

# Rounds in a row that bring nothing before a download is given up, and the pauses between
# them in seconds: a peer that restarts is back within them.
FRUITLESS_ROUNDS = 3
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0

# A peer that is busy says when it wants to be asked again, and is waited for: so long at a
# time at most, and so long altogether while nothing comes; in seconds.
BUSY_PAUSE = 5.0
BUSY_SECONDS = 30.0


class Rounds:
    """Counts the rounds of one download that brought nothing. For one thread."""

    def __init__(self) -> None:
        self._pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE, random.Random())  # noqa: S311 - jitter
        self._fruitless = 0
        self._waited = 0.0  # for busy peers
        self._busy = 0.0

    def note(self, *, better: bool, problems: Iterable[PeerError]) -> None:
        """A round is over; ``problems`` are why peers gave nothing in it."""
        if better:
            self._fruitless = 0
            self._waited = 0.0
        self._busy = min(BUSY_PAUSE, _retry_after(problems), BUSY_SECONDS - self._waited)
        self._waited += self._busy
        if not better and not self._busy:
            self._fruitless += 1

    @property
    def hopeful(self) -> bool:
        """Whether a peer that is busy may have the file."""
        return self._busy > 0

    @property
    def over(self) -> bool:
        """Whether no other round is worth it."""
        return self._fruitless == FRUITLESS_ROUNDS

    def pause(self) -> float:
        """Seconds until the next round."""
        return self._busy or self._pauses.next()


def _retry_after(problems: Iterable[PeerError]) -> float:
    """Seconds until the first of those that are busy wants to be asked again; 0 if none is."""
    waits = [each.retry_after for each in problems if isinstance(each, RefusedError)]
    return min((wait for wait in waits if wait > 0), default=0.0)
