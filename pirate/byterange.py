"""A part of a file, as HTTP writes it: the bytes from A to B, from A on, or the last N."""

import re
from dataclasses import dataclass
from typing import Self

from pirate.chain import segment_size
from pirate.errors import OutsideError

# More than any file has, and few enough digits to be read in no time.
_FORM = re.compile(r"([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """What is asked for of a file whose size may not be known yet.

    The bytes from ``first`` to ``last``, both included and counted from 0, or to the end
    without a ``last``; without a ``first`` the last ``last`` bytes, and with neither all.
    """

    first: int | None
    last: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``A-B``, ``A-`` or ``-N``; ValueError otherwise."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not A-B, A- or -N, in bytes")
        first, last, suffix = (int(each) if each else None for each in match.groups())
        if suffix == 0 or (first is not None and last is not None and first > last):
            raise ValueError(f"{text!r} has no bytes")
        return cls(first, last if suffix is None else suffix)

    def within(self, size: int) -> tuple[int, int]:
        """Where it begins in a file of ``size`` bytes, and where it has ended.

        What lies behind the end is cut off; OutsideError if that is all of it.
        """
        if self.first is None:
            return (0 if self.last is None else max(0, size - self.last)), size
        if self.first >= size:
            raise OutsideError(f"the range {self} begins behind the end: the file has {size} bytes")
        return self.first, size if self.last is None else min(size, self.last + 1)

    def segments(self, size: int) -> range:
        """The segments that it touches in a file of ``size`` bytes."""
        try:
            start, stop = self.within(size)
        except OutsideError:
            return range(0)
        step = segment_size(size)
        return range(start // step, -(-stop // step))

    def __str__(self) -> str:
        first, last = ("" if each is None else each for each in (self.first, self.last))
        return f"{first}-{last}"


WHOLE = ByteRange(None, None)
