"""Read what we share again, and compare it with what was noted when it was hashed.

A file whose identity is still the one that was noted has the same content, or it has rotted:
nobody has written to it, and yet its bytes are others.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pirate.chain import STATE_SIZE, length, segments, start
from pirate.disk.cursor import Cursor
from pirate.disk.hashcache import Asked, HashCache
from pirate.disk.hashing import NICENESS, Hashed, Job, Outcome, hash_all, hash_file
from pirate.disk.opening import Opener
from pirate.disk.place import Parts, Place
from pirate.disk.source import generation_of
from pirate.disk.tree import Found, Shares
from pirate.model import Digest
from pirate.scope import Stop

# What is verified before the cursor moves on.
_BATCH_FILES = 1000
_BATCH_BYTES = 1024**3

# It was there when the folder was listed, or was a file: somebody has changed that since.
_CHANGED = {None, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}


class State(StrEnum):
    """What became of a file: as it was, not known before, changed meanwhile, or bad."""

    SOUND = "sound"
    NOTED = "noted"
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    ROTTEN = "rotten"


BAD = {State.UNREADABLE, State.ROTTEN}


@dataclass(frozen=True, slots=True)
class Segment:
    """The first segment of a file that is not what it was."""

    index: int
    count: int
    start: int
    length: int


class Finding(NamedTuple):
    """What one file, or a folder that cannot be read, turned out to be."""

    place: Place
    state: State
    size: int = 0
    was: Digest | None = None
    found: Digest | None = None
    segment: Segment | None = None
    error: OSError | None = None

    @property
    def path(self) -> str:
        """Where it is."""
        return "/".join((self.place.root, *self.place.parts))


class Total(NamedTuple):
    """How much there is to read."""

    files: int
    size: int


class Verification:
    """One pass over the shares, which goes on where ``cursor`` stands."""

    def __init__(
        self,
        shares: Shares,
        cache: HashCache,
        cursor: Cursor,
        heard: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``heard`` is told of bytes as they are read, by several threads."""
        self._shares = shares
        self._cache = cache
        self._cursor = cursor
        self._heard = heard
        self._threads = os.cpu_count() or 1
        self._troubled: list[Finding] = []

    def total(self) -> Total:
        """What is left to read; that it changes meanwhile has to be expected."""
        sizes = [found.identity.size for _, found in self._left()]
        return Total(len(sizes), sum(sizes))

    def run(self, stop: Stop) -> Generator[list[Finding], None, None]:
        """Verify everything, with the cursor behind what is done; it is removed at the end."""
        for batch in self._batches():
            yield from self._verify(batch, stop)
            if stop.is_set:
                return
            for root, found in batch:
                self._cursor.move(Place(root, found.parts), found.identity.size)
            self._cursor.save()
            self._cache.flush()
        yield self._troubled
        self._cursor.remove()

    def _left(self) -> Iterator[tuple[str, Found]]:
        """The files behind the cursor, and those in front of it that were bad; each once."""
        once: set[tuple[int, int]] = set()
        self._troubled = []
        several = len(self._shares.roots) > 1
        for root, found in self._shares.walk(self._trouble):
            place = Place(root, found.parts)
            if self._cursor.passed(place) and not self._cursor.was_bad(place):
                continue
            if several or not found.label:  # it may have other names
                inode = found.identity[:2]
                if inode in once:
                    continue
                once.add(inode)
            yield root, found

    def _trouble(self, root: str, parts: Parts, error: OSError) -> None:
        if error.errno not in _CHANGED or not parts:
            self._troubled.append(Finding(Place(root, parts), State.UNREADABLE, error=error))

    def _batches(self) -> Iterator[list[tuple[str, Found]]]:
        batch: list[tuple[str, Found]] = []
        size = 0
        for root, found in self._left():
            batch.append((root, found))
            size += found.identity.size
            if len(batch) == _BATCH_FILES or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _verify(self, batch: Sequence[tuple[str, Found]], stop: Stop) -> Iterator[list[Finding]]:
        jobs = [Job(root, each.parts, each.identity.size, each.label) for root, each in batch]
        identities = [found.identity for _, found in batch]
        asked = Asked(
            identities, lambda at: jobs[at].label, lambda at: generation_of(*jobs[at][:2])
        )
        known = self._cache.find(asked, stop)
        before = {job: known.hashed(at, identities[at]) for at, job in enumerate(jobs)}
        with closing(hash_all(jobs, stop, self._threads, self._read)) as hashing:
            for outcomes in hashing:
                findings = [self._judge(outcome, before[outcome[0]]) for outcome in outcomes]
                for each in findings:
                    self._cursor.note(each.place, bad=each.state in BAD)
                yield findings

    def _read(self, job: Job, stop: Stop, opener: Opener) -> Hashed | None:
        """Hash a file from the disk, as far as that can be had, and not at others' cost."""
        _be_nice()
        file = opener.open(job.root, job.parts)
        try:
            _forget(file)
            return hash_file(file, stop, self._heard)
        finally:
            _forget(file)
            os.close(file)

    def _judge(self, outcome: Outcome, known: Hashed | None) -> Finding:
        job, hashed = outcome
        finding = Finding(Place(job.root, job.parts), State.CHANGED, job.size)
        if isinstance(hashed, OSError):
            if hashed.errno in _CHANGED:
                return finding
            return finding._replace(state=State.UNREADABLE, error=hashed)
        if hashed is None:
            return finding
        if known is None or known.identity != hashed.identity:
            self._cache.keep(hashed, job.label)
            return finding._replace(state=State.NOTED)
        if known.digest == hashed.digest:
            return finding._replace(state=State.SOUND)
        return finding._replace(
            state=State.ROTTEN,
            was=known.digest,
            found=hashed.digest,
            segment=_first_apart(job.size, known.states, hashed.states),
        )


def _first_apart(size: int, before: bytes, now: bytes) -> Segment | None:
    """The first segment that is not what it was; None where no chain is known."""
    if len(before) != len(now) or not now:
        return None
    steps = range(0, len(now), STATE_SIZE)
    apart = (at for at in steps if before[at : at + STATE_SIZE] != now[at : at + STATE_SIZE])
    index = next(apart, len(now)) // STATE_SIZE
    return Segment(index, segments(size), start(size, index), length(size, index))


def _forget(file: int) -> None:
    """Have the next read of an open file come from the disk, and others' files stay in memory."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _be_nice() -> None:
    """Let others go first: this thread only on Linux, the process elsewhere."""
    with contextlib.suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, 0) < NICENESS:
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
