"""Where a file lies, and what tells that it is still the same one."""

import os
from operator import attrgetter
from typing import NamedTuple

Parts = tuple[str, ...]


class Place(NamedTuple):
    """Where a file or folder lies: a shared folder and the path below it."""

    root: str
    parts: Parts

    @property
    def folder(self) -> "Place":
        """The folder that it is in."""
        return Place(self.root, self.parts[:-1])

    def is_below(self, other: "Place") -> bool:
        """Whether it is another place, or below it."""
        return self.root == other.root and self.parts[: len(other.parts)] == other.parts


class Identity(NamedTuple):
    """What tells that a file is still the one whose bytes were read. Times in ns."""

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        """The identity in a stat result."""
        return tuple.__new__(cls, _STATUS(status))


_STATUS = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
