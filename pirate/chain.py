"""The chain of a file: SHA-1's chaining values at the segment boundaries.

SHA-1 carries 20 bytes from one 64-byte block to the next. Noted at every segment boundary they
split the proof of a whole file into one link a segment: hashing segment ``i`` from state ``i``
has to give state ``i + 1``, where state 0 is fixed by SHA-1, and the state after the last
segment, padding included, is the digest.

All links hold if and only if SHA-1(file) is the digest, by induction from state 0: it is the
same computation in another order. So whoever supplied bytes, size or chain need not be trusted,
and segments can be verified in any order, on all cores, from anybody. Only a closed chain is a
proof: links that hold in the middle say nothing of the digest.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from pirate.model import Digest

KIB = 1024
MIB = 1024 * KIB

STATE_SIZE = 20

# What a holder says that has the file and knows no chain of it.
NO_CHAIN = Digest(bytes(Digest.SIZE))

# The chaining value before the first block (FIPS 180-4, section 5.3.1).
INITIAL = bytes.fromhex("67452301efcdab8998badcfe10325476c3d2e1f0")

LEAST_SEGMENT = 64 * KIB
MOST_SEGMENT = MIB

# Fewer segments leave late peers of a swarm idle (128: 1.12 times the time, 32: 1.43 times),
# more cost a request, a record and a link each.
SEGMENTS = 512

# Beyond 16 GiB segments grow instead: a chain never has more links than this.
MOST_LINKS = 16_384

# Whoever verifies a segment holds it in memory, and a size is the word of a stranger: larger
# files, whose segments would be above 64 MiB, have no chain.
MOST_BYTES = 2**40


def segment_size(size: int) -> int:
    """Bytes in every segment but the last of a file of ``size`` bytes: a power of two.

    It depends on the size alone, so that the chains of all honest holders are equal.
    """
    segment = LEAST_SEGMENT
    while segment < MOST_SEGMENT and segment * SEGMENTS < size:
        segment *= 2
    while segment * MOST_LINKS < size:
        segment *= 2
    return segment


def segments(size: int) -> int:
    """How many segments a file of ``size`` bytes has; an empty file has one, empty."""
    return max(1, -(-size // segment_size(size)))


def start(size: int, index: int) -> int:
    """Where a segment begins in a file of ``size`` bytes."""
    return index * segment_size(size)


def length(size: int, index: int) -> int:
    """How many bytes a segment has."""
    return min(segment_size(size), size - start(size, index))


class Link(NamedTuple):
    """What one segment has to prove: hashing it from ``before`` gives ``after``.

    The size of the file belongs to it, since it says which bytes the segment has: links of
    two sizes are never the same, even if their states are.
    """

    before: bytes
    after: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Chain:
    """All links of one file. Segments are numbered from 0; an empty file has one, empty.

    ``states`` are the chaining values between the segments, 20 bytes each: one fewer than
    there are segments. ValueError if their number is not the size's, or the size too great.
    """

    digest: Digest
    size: int
    states: bytes

    def __post_init__(self) -> None:
        if self.size > MOST_BYTES:
            raise ValueError(f"{self.size} bytes are too many for a chain")
        if len(self.states) != STATE_SIZE * (self.count - 1):
            raise ValueError(f"{len(self.states)} bytes of states for {self.count} segments")

    @property
    def segment(self) -> int:
        """Bytes in every segment but the last."""
        return segment_size(self.size)

    @property
    def count(self) -> int:
        """How many segments there are."""
        return segments(self.size)

    def start(self, index: int) -> int:
        """Where a segment begins in the file."""
        return start(self.size, index)

    def length(self, index: int) -> int:
        """How many bytes a segment has."""
        return length(self.size, index)

    def link(self, index: int) -> Link:
        """What a segment has to prove."""
        return Link(self._state(index), self._state(index + 1), self.size)

    @property
    def name(self) -> Digest:
        """What tells this chain from another one that is claimed for the same digest."""
        return Digest(hashlib.sha1(self.states, usedforsecurity=False).digest())

    def _state(self, index: int) -> bytes:
        if index == 0:
            return INITIAL
        if index == self.count:
            return bytes(self.digest)
        return self.states[STATE_SIZE * (index - 1) : STATE_SIZE * index]


def telling_segments(ours: Chain, theirs: Chain) -> list[int]:
    """Where two chains of one size start apart and end together: only one of them is true there.

    There is at least one if they differ, since they end with the same digest.
    """
    if ours.size != theirs.size:
        return []
    apart = [
        ours.states[at : at + STATE_SIZE] != theirs.states[at : at + STATE_SIZE]
        for at in range(0, len(ours.states), STATE_SIZE)
    ]
    return [
        index
        for index, (starts, ends) in enumerate(zip(apart, [*apart[1:], False], strict=True), 1)
        if starts and not ends
    ]
