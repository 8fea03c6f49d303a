"""Which of many small files is asked of whom next: pure, shared by threads under one lock.

Every holder makes a tour through the list. It takes what is open, passes by what others have
taken, and comes back for that at the end, in case they could not bring it. So each file is asked
of one holder after the other until one has it, and nothing is asked of a holder twice but what
broke off.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

# A holder with nothing else to do also takes what others have owed for so many seconds.
PATIENCE = 2.0

Holder = Hashable


@dataclass(slots=True)
class _Tour:
    """Where a holder is: what it has not come to, what it passed by, and what it was asked for."""

    fresh: Iterator[int]
    round: bool = False  # whether it has come to all
    passed: list[int] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)


class Tours:
    """Files are numbered from 0. Not thread-safe; times are of a monotonic clock."""

    def __init__(self, count: int) -> None:
        self._settled = bytearray(count)
        self._taken: dict[int, dict[Holder, float]] = {}  # by whom, and when
        self._tours: dict[Holder, _Tour] = {}
        self.left = count

    @property
    def open(self) -> Iterator[int]:
        """All that are not settled."""
        return (index for index, settled in enumerate(self._settled) if not settled)

    def join(self, holder: Holder) -> None:
        """A holder begins its tour, or comes back to it."""
        if holder not in self._tours:
            self._tours[holder] = _Tour(iter(range(len(self._settled))))

    def take(self, holder: Holder, most: int, now: float) -> list[int]:
        """What to ask ``holder`` for next: at most so many."""
        tour = self._tours[holder]
        some: list[int] = []
        for index in tour.fresh:
            if self._settled[index]:
                continue
            if index in self._taken:
                tour.passed.append(index)
                continue
            some.append(index)
            if len(some) == most:
                break
        else:
            tour.round = True
            passed, tour.passed = tour.passed, []
            for index in passed:
                if self._settled[index]:
                    continue
                if len(some) < most and self._open_or_late(index, now):
                    some.append(index)
                else:
                    tour.passed.append(index)
        tour.taken.update(some)
        for index in some:
            self._taken.setdefault(index, {})[holder] = now
        return some

    def over(self, holder: Holder) -> bool:
        """Whether ``holder`` was asked for all that there is, and owes nothing."""
        tour = self._tours[holder]
        return self.left == 0 or (tour.round and not tour.taken and not tour.passed)

    def refuse(self, holder: Holder, index: int) -> None:
        """``holder`` does not have it, or not right; it is not asked for it again."""
        self._tours[holder].taken.discard(index)
        asked = self._taken.get(index, {})
        if asked.pop(holder, None) is not None and not asked:
            del self._taken[index]

    def settle(self, index: int) -> bool:
        """It is here, or needs nobody any more; False if it was settled before."""
        for holder in self._taken.pop(index, {}):
            self._tours[holder].taken.discard(index)
        if self._settled[index]:
            return False
        self._settled[index] = True
        self.left -= 1
        return True

    def leave(self, holder: Holder) -> None:
        """What ``holder`` was asked for is open again, for itself too if it comes back."""
        tour = self._tours[holder]
        tour.passed += tour.taken
        for index in list(tour.taken):
            self.refuse(holder, index)

    def _open_or_late(self, index: int, now: float) -> bool:
        """Whether nobody was asked for it, or all who were long ago."""
        asked = self._taken.get(index, {})
        return all(now - when > PATIENCE for when in asked.values())
