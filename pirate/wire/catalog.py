"""A catalog: the entries of one peer at one revision, in runs that its revisions share."""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from pirate.model import Digest, Entry
from pirate.wire.entries import Run, encode_gone, is_gone

# What a run may have, in bytes: it fits a frame, and to write it anew takes less than 1 ms.
LEAF_BYTES = 48 * 1024

# A run of which more than one in so many entries changes is sorted anew, else it is searched.
_FEW = 10

# If more than one in so many entries is wanted all are gone through, else each is searched for.
_SOME = 4

# Bytes of a digest that tell it from nearly all others.
_HEAD = 8

# So many changes are remembered; who knows an older revision is sent everything.
MOST_CHANGES = 10_000


_Known = Callable[[bytes], bytes | None]


class Change(NamedTuple):
    """What was not as before when a revision was no longer the current one."""

    before: int
    digests: tuple[bytes, ...]


class Catalog:
    """The entries of one peer at one revision, ascending by digest, each digest once. Frozen.

    Revisions are compared for equality only; 0 means "none known". A million entries are about
    two thousand runs: the next revision shares those in which nothing has changed.
    """

    def __init__(
        self,
        revision: int = 0,
        entries: Iterable[Entry] = (),
        *,
        runs: Iterable[Run] | None = None,
    ) -> None:
        """Of entries, or of runs, that ascend."""
        self.revision = revision
        self._leaves = _packed([Run.of(entries)] if runs is None else runs)
        self._changes: tuple[Change, ...] = ()
        self._len = sum(map(len, self._leaves))

    @cached_property
    def _firsts(self) -> list[bytes]:
        """The digest that each run begins with."""
        return [leaf.digest(0) for leaf in self._leaves]

    @cached_property
    def size(self) -> int:
        """The sum of the sizes."""
        return sum(leaf.sizes() for leaf in self._leaves)

    @property
    def encoded_bytes(self) -> int:
        """How long it is on the wire."""
        return sum(len(leaf.data) for leaf in self._leaves)

    def get(self, digest: Digest) -> Entry | None:
        """The entry of a digest."""
        place = bisect_right(self._firsts, digest) - 1
        encoded = self._leaves[place].get(digest) if place >= 0 else None
        return Run.packed([encoded])[0] if encoded else None

    def encoded(self, digest: bytes) -> bytes:
        """The entry of a digest as it is on the wire, or that there is none."""
        place = bisect_right(self._firsts, digest) - 1
        return (place >= 0 and self._leaves[place].get(digest)) or encode_gone(digest)

    def only(self, digests: AbstractSet[bytes]) -> tuple[Run, ...]:
        """The entries of these digests, in runs that each fit a frame."""
        if len(digests) * _SOME > len(self):
            some = [
                Run.packed([one for key, one in leaf.pairs() if key in digests])
                for leaf in self._leaves
            ]
        else:
            found = map(self.encoded, sorted(filter(self._may_have, digests)))
            some = [Run.packed([one for one in found if not is_gone(one)])]
        return _packed(some)

    def after(self, digest: bytes, limit: int) -> Iterator[Run]:
        """At most ``limit`` entries above ``digest``, in runs that each fit a frame."""
        first = max(0, bisect_right(self._firsts, digest) - 1)
        for leaf in islice(self._leaves, first, None):
            start = leaf.above(digest) if leaf is self._leaves[first] else 0
            some = leaf.part(start, start + limit)
            if some:
                yield some
            limit -= len(some)
            if limit <= 0:
                return

    def since(self, revision: int, digest: bytes, limit: int) -> Iterator[Run] | None:
        """What is not as it was at ``revision``, above ``digest``; None if that is forgotten.

        At most ``limit`` entries, in runs that each fit a frame.
        """
        if revision == self.revision:
            return iter(())
        known = [index for index, change in enumerate(self._changes) if change.before == revision]
        if not known or not revision:
            return None
        changed = {one for change in self._changes[known[-1] :] for one in change.digests}
        wanted = islice(sorted(one for one in changed if one > digest), limit)
        return iter(_packed([Run.packed([*map(self.encoded, wanted)])]))

    def changed(self, revision: int, changes: Run) -> "Catalog":
        """The catalog with these entries, and without those that they say are gone."""
        leaves: list[Run] = []
        at, done = 0, 0
        while at < len(changes):
            index = max(0, bisect_right(self._firsts, changes.digest(at)) - 1)
            leaf = self._leaves[index] if self._leaves else Run()
            stop = len(changes)
            if index + 1 < len(self._leaves):
                stop = changes.least(self._firsts[index + 1], at)
            leaves += (*self._leaves[done:index], _merged(leaf, changes, at, stop))
            at, done = stop, index + 1
        after = Catalog(revision, runs=(*leaves, *self._leaves[done:]))
        if len(changes) <= MOST_CHANGES:
            newest = Change(self.revision, tuple(changes.digests()))
            after._changes = _remembered(self._changes, newest)
        return after

    def unlike(self, entries: Sequence[bytes]) -> list[bytes]:
        """Those of some encoded entries, which ascend, that are not in it as they are."""
        unlike: list[bytes] = []
        for some, known in self._beside(entries):
            for entry in some:
                digest = entry[: Digest.SIZE]
                if entry != (known(digest) or encode_gone(digest)):
                    unlike.append(entry)
        return unlike

    def having(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those of some digests, which ascend, of which it has an entry."""
        return [digest for some, known in self._beside(digests) for digest in some if known(digest)]

    def _beside(self, some: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], _Known]]:
        """What ascends and begins with digests, in parts, and what finds the entries of each."""
        at = 0
        while at < len(some):
            index = max(0, bisect_right(self._firsts, some[at][: Digest.SIZE]) - 1)
            stop = len(some)
            if index + 1 < len(self._leaves):
                stop = bisect_left(some, self._firsts[index + 1], at)
            leaf = self._leaves[index] if self._leaves else Run()
            few = (stop - at) * _FEW <= len(leaf)
            yield some[at:stop], leaf.get if few else dict(leaf.pairs()).get
            at = stop

    def runs(self) -> tuple[Run, ...]:
        """All entries."""
        return self._leaves

    @cached_property
    def _heads(self) -> "array[int]":
        """How each digest begins, as a number, so that C can search them."""
        heads = b"".join(digest[:_HEAD] for leaf in self._leaves for digest in leaf.digests())
        numbers = array("Q", heads)
        if sys.byteorder == "little":
            numbers.byteswap()
        return numbers

    def _may_have(self, digest: bytes) -> bool:
        """Whether an entry is there whose digest begins like this one: mostly there is none."""
        head = int.from_bytes(digest[:_HEAD], "big")
        index = bisect_left(self._heads, head)
        return index < len(self._heads) and self._heads[index] == head

    def __len__(self) -> int:
        return self._len

    def __iter__(self) -> Iterator[Entry]:
        for leaf in self._leaves:
            yield from leaf

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Catalog):
            return NotImplemented
        same = self.revision == other.revision
        return same and self._data() == other._data()

    def __hash__(self) -> int:
        return hash(self.revision)

    def _data(self) -> bytes:
        return b"".join(leaf.data for leaf in self._leaves)


def _merged(leaf: Run, changes: Run, at: int, stop: int) -> Run:
    """A run with some of the changes made to it; it may be empty, or longer than a leaf."""
    if not leaf and at == 0 and stop == len(changes) and not changes.gone:
        return changes
    if (stop - at) * _FEW > len(leaf):
        new = dict(changes.part(at, stop).pairs())
        each = [entry for digest, entry in leaf.pairs() if digest not in new]
        each += [entry for entry in new.values() if not is_gone(entry)]
        each.sort()
        return Run.packed(each)
    data, ends = bytearray(), array("I")
    done = 0
    for number in range(at, stop):
        digest, encoded = changes.digest(number), changes.encoded(number)
        index = leaf.least(digest, done)
        leaf.copy(done, index, data, ends)
        done = index + (index < len(leaf) and leaf.digest(index) == digest)
        if not is_gone(encoded):
            data += encoded
            ends.append(len(data))
    leaf.copy(done, len(leaf), data, ends)
    return Run(bytes(data), ends)


def _packed(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The same entries in runs that are neither empty nor longer than a leaf; few are short."""
    leaves: list[Run] = []
    for run in filter(None, runs):
        for part in run.parts(LEAF_BYTES) if len(run.data) > LEAF_BYTES else (run,):
            if leaves and len(leaves[-1].data) + len(part.data) < LEAF_BYTES // 2:
                leaves[-1] = Run.joined((leaves[-1], part))
            else:
                leaves.append(part)
    return tuple(leaves)


def _remembered(changes: tuple[Change, ...], newest: Change) -> tuple[Change, ...]:
    """The newest changes, as many as are worth remembering."""
    room = MOST_CHANGES - len(newest.digests)
    kept: list[Change] = []
    for change in reversed(changes):
        room -= len(change.digests)
        if room < 0:
            break
        kept.append(change)
    return (*reversed(kept), newest)
