"""How many connections one download has, and which holder gets a second one.

A connection keeps at most one core of each end busy, so a second one to a holder that gives
nearly all that comes is worth as much as the first, while several holders of like speed fill
the cores with one each. It is not free: a liar with two may tell two lies at a time. So it has
to be earned, with what was proven.
"""

from collections import Counter
from collections.abc import Hashable

CONNECTIONS = 2

# A second connection is for who has proven this many segments, and this many times what all
# others have proven together; and while as many segments are missing.
EARNED = 16
FASTER = 3

# Every connection receives into a buffer that holds a segment. Together they stay within this
# as long as it is enough for two: one holder alone might be slow, and keep the others out.
BUFFER_BYTES = 16 * 1024 * 1024
LEAST_PLACES = 2

Holder = Hashable


def places(segment: int) -> int:
    """How many connections there may be while segments of this size are fetched."""
    return max(LEAST_PLACES, BUFFER_BYTES // segment)


class Merit:
    """What each holder has proven since somebody came or went. Not thread-safe."""

    def __init__(self) -> None:
        self._proven: Counter[Holder] = Counter()
        self._awarded: set[Holder] = set()

    def change(self) -> None:
        """Holders have come or gone: what was proven before says nothing of who is here now."""
        self._proven.clear()
        self._awarded.clear()

    def prove(self, holder: Holder, missing: int) -> bool:
        """Count a segment; True if its holder is to have a second connection, once."""
        self._proven[holder] += 1
        own = self._proven[holder]
        earned = own >= max(EARNED, FASTER * (self._proven.total() - own))
        if not earned or missing < EARNED or holder in self._awarded:
            return False
        self._awarded.add(holder)
        return True
