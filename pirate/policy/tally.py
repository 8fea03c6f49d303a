"""How much of what was asked for is here."""

from pirate.byterange import ByteRange
from pirate.chain import length, segments


class Tally:
    """Counts segments and bytes: of what was asked for, and the last segment."""

    def __init__(self, asked: ByteRange) -> None:
        self._asked = asked
        self._size: int | None = None  # of the file that the segments were cut from
        self._missing: set[int] = set()
        self.total = 0  # bytes that are wanted, here or not
        self.done = 0  # those of them that are here

    @property
    def left(self) -> int:
        """How many segments are missing."""
        return len(self._missing)

    def note(self, size: int, *indices: int) -> None:
        """Segments are here; of another size than those before, they are the first."""
        if size != self._size:
            self._size = size
            self._missing = {*self._asked.segments(size), segments(size) - 1}
            self.total = sum(length(size, index) for index in self._missing)
            self.done = 0
        for index in self._missing.intersection(indices):
            self._missing.remove(index)
            self.done += length(size, index)
