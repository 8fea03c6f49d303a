"""Open a shared file that is still the one that was hashed, or look at it."""

import contextlib
import fcntl
import os
import struct
import sys
from collections.abc import Iterable

from pirate.disk.opening import open_file
from pirate.disk.place import Identity, Parts, Place
from pirate.errors import StaleError

# FS_IOC_GETVERSION of Linux, _IOR('v', 1, long); what comes is an int.
_GENERATION = 0x80007601 | struct.calcsize("l") << 16


class Source:
    """A shared file, open, and still the one that was hashed."""

    def __init__(self, file: int, identity: Identity) -> None:
        """``file`` is an open descriptor; ``identity`` is what it had when it was hashed."""
        self.file = file
        self.size = identity.size
        self._identity = identity

    def check(self) -> None:
        """Raise StaleError if the file is not what was hashed any more."""
        if Identity.of(os.fstat(self.file)) != self._identity:
            raise StaleError("the file has changed since it was hashed")

    def close(self) -> None:
        """Close it."""
        os.close(self.file)


def open_first(places: Iterable[tuple[Place, Identity]]) -> contextlib.closing[Source]:
    """The file at the first place where it is still what was hashed; StaleError if at none."""
    for place, identity in places:
        with contextlib.suppress(OSError, StaleError):
            source = Source(open_file(*place), identity)
            try:
                source.check()
            except StaleError:
                source.close()
                raise
            return contextlib.closing(source)
    raise StaleError("the file has changed since it was hashed")


def generation(file: int) -> int:
    """What tells an open file from those that had its inode before; 0 if nothing does."""
    if sys.platform != "linux":
        return 0
    try:
        told = fcntl.ioctl(file, _GENERATION, bytes(8))
    except OSError:
        return 0
    return int.from_bytes(told[:4], sys.byteorder)


def generation_of(root: str, parts: Parts) -> int:
    """The generation of the file at ``parts`` below ``root``; 0 if it has none."""
    with contextlib.suppress(OSError):
        file = open_file(root, parts)
        try:
            return generation(file)
        finally:
            os.close(file)
    return 0
