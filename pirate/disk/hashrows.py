"""The rows of the hash cache as bytes: those of up to 64 inodes in a row are one block.

Files that were made together have numbers in a row, so that a block is found, checked and
written for many of them at once.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import NamedTuple

from pirate.chain import LEAST_SEGMENT, STATE_SIZE, segments
from pirate.disk import sha1
from pirate.disk.hashing import Hashed
from pirate.disk.place import Identity
from pirate.model import Digest

BITS = 6  # the number of a block is that of its inodes without so many bits
_INODES = 1 << BITS
_ROW = struct.Struct(">BQqqIIH20s")
_KEY = struct.Struct(">QQ")
_CHECK = 8

LONGEST_BLOCK = _INODES * _ROW.size + _CHECK


# A row as it is unpacked; a `Row` is the same, with names, and takes three times as long.
Fields = tuple[int, int, int, int, int, int, int, bytes]


class Row(NamedTuple):
    """What a file had when it was hashed, and the number of its states."""

    place: int  # of its inode in the block
    size: int
    mtime: int
    ctime: int
    label: int
    generation: int
    states: int
    digest: bytes

    def hashed(self, identity: Identity) -> Hashed | None:
        """What it says of any file with this device and inode, its states left out.

        The identity is what it was then. None if a file of that size is hashed to something
        else here.
        """
        if self.states != _states(self.size):
            return None
        if self[1:4] != identity[2:]:
            identity = Identity(*identity[:2], *self[1:4])
        return Hashed(Digest(self.digest), b"", identity, True, self.generation)


def block_of(inode: int) -> int:
    """The number of the block in which an inode is."""
    return inode >> BITS


def place_of(inode: int) -> int:
    """Its place in there."""
    return inode % _INODES


def plain_digest(row: Fields, identity: Identity) -> bytes | None:
    """The digest of a small file whose name was known, if it is as it was."""
    if row[1:4] == identity[2:] and row[4] and not row[6] and row[1] <= LEAST_SEGMENT:
        return row[7]
    return None


def packed(hashed: Hashed, label: int) -> bytes:
    """A row; struct.error for a time after 2262."""
    _, inode, *rest = hashed.identity
    states = len(hashed.states) // STATE_SIZE
    return _ROW.pack(place_of(inode), *rest, label, hashed.generation, states, hashed.digest)


def packed_small(identity: Identity, label: int, generation: int, digest: bytes) -> bytes:
    """The same for a file without states."""
    _, inode, size, mtime, ctime = identity
    return _ROW.pack(place_of(inode), size, mtime, ctime, label, generation, 0, digest)


def digest_in(row: bytes) -> bytes:
    """The digest in a row."""
    return row[-Digest.SIZE :]


def block(device: int, number: int, rows: Iterable[bytes], before: object = None) -> bytes:
    """Some rows, and those of the block as it was ``before`` that they do not replace."""
    known = _checked(device, number, before)
    each = {known[at]: known[at : at + _ROW.size] for at in range(0, len(known), _ROW.size)}
    each.update((row[0], row) for row in rows)
    data = b"".join(each.values())
    return data + _check(device, number, data)


def rows_of(device: int, number: int, data: object) -> dict[int, Fields]:
    """The rows of a block by their inodes; none if it is not as it was written."""
    first = number << BITS
    return {first + row[0]: row for row in _ROW.iter_unpack(_checked(device, number, data))}


def chain(hashed: Hashed) -> bytes:
    """The states of a file, to be kept beside its row."""
    device, inode = hashed.identity[:2]
    return hashed.states + _check(device, inode, hashed.digest + hashed.states)


def with_chain(hashed: Hashed, data: object) -> Hashed | None:
    """What the row says, with the states that are kept beside it; None if they are no more."""
    device, inode = hashed.identity[:2]
    if not isinstance(data, bytes):
        return None
    states = data[:-_CHECK]
    if len(states) != STATE_SIZE * _states(hashed.identity.size):
        return None
    if data[-_CHECK:] != _check(device, inode, hashed.digest + states):
        return None
    return hashed._replace(states=states)


def _states(size: int) -> int:
    """How many states a file of this size is hashed to here."""
    return segments(size) - 1 if size > LEAST_SEGMENT and sha1.available() else 0


def _checked(device: int, number: int, data: object) -> bytes:
    """The rows of a block; none if it is not as it was written."""
    if not isinstance(data, bytes) or len(data) % _ROW.size != _CHECK:
        return b""
    rows = data[:-_CHECK]
    return rows if data[-_CHECK:] == _check(device, number, rows) else b""


def _check(device: int, number: int, data: bytes) -> bytes:
    return hashlib.blake2b(_KEY.pack(device, number) + data, digest_size=_CHECK).digest()
