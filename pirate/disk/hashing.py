"""The digest of a file, in one read, and of many files on all cores."""

import hashlib
import os
import queue
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

from pirate.chain import LEAST_SEGMENT, segment_size
from pirate.disk import sha1
from pirate.disk.opening import Opener, open_file
from pirate.disk.place import Identity, Parts, Place
from pirate.disk.source import generation
from pirate.model import Digest
from pirate.pages import pages
from pirate.scope import Scope, Stop

READ_BYTES = 256 * 1024

# For who reads much beside others, as `nice` does it; the kernel derives the priority of reading.
NICENESS = 10

YOUNG_NS = 50_000_000  # Linux ticks every 1 to 10 ms

# Files up to this size are read in the order in which they were found, folder by folder.
_SMALL = 256 * 1024

# A thread takes this many files, or bytes, at a time: with one file a task the threads spend
# four times as long on handing over the interpreter as on small files themselves.
_BATCH_FILES = 64
_BATCH_BYTES = 16 * 1024 * 1024


class Job(NamedTuple):
    """A file to hash: where it is, how large it was when it was found, and its label."""

    root: str
    parts: tuple[str, ...]
    size: int
    label: int = 0


class Hashed(NamedTuple):
    """What a file's bytes were while its identity stayed the same from open to end.

    ``settled``: had it changed since, its identity would have too. Not so for a file as young
    as a tick of the kernel's clock, which keeps its times when it is written twice.
    """

    digest: Digest
    states: bytes  # of its chain, none if it has one segment or chains cannot be had here
    identity: Identity
    settled: bool
    generation: int = 0  # of its inode, 0 if the file system does not tell


class Sheet(NamedTuple):
    """Files of one folder that have been hashed, in columns; ``states`` by their places in them."""

    root: str
    parts: Parts
    names: Sequence[str]
    identities: Sequence[Identity]
    digests: Sequence[bytes]
    settled: bytes
    states: dict[int, bytes]

    @classmethod
    def of(cls, folder: Place, files: Mapping[str, Hashed]) -> "Sheet":
        """Of files by their names."""
        each = files.values()
        states = {at: hashed.states for at, hashed in enumerate(each) if hashed.states}
        identities = [hashed.identity for hashed in each]
        digests = [hashed.digest for hashed in each]
        settled = bytes(hashed.settled for hashed in each)
        return cls(*folder, [*files], identities, digests, settled, states)

    def some(self, places: Sequence[int]) -> "Sheet":
        """Some of the files."""
        return Sheet(
            self.root,
            self.parts,
            [self.names[at] for at in places],
            [self.identities[at] for at in places],
            [self.digests[at] for at in places],
            bytes(self.settled[at] for at in places),
            {number: self.states[at] for number, at in enumerate(places) if at in self.states},
        )


# Is told how many bytes more have been read.
Heard = Callable[[int], object]


def _unheard(_: int) -> None:
    pass


def digest_of(file: int, stop: Stop | None = None, heard: Heard = _unheard) -> Digest | None:
    """The SHA-1 of an open file from its start; None if stopped meanwhile."""
    hashed = hashlib.sha1(usedforsecurity=False)
    buffer = pages(READ_BYTES)
    offset = 0
    while count := os.preadv(file, [buffer], offset):
        hashed.update(buffer[:count])
        offset += count
        heard(count)
        if stop and stop.is_set:
            return None
    return Digest(hashed.digest())


def chain_of(
    file: int, size: int, stop: Stop, heard: Heard = _unheard
) -> tuple[Digest | None, bytes]:
    """Digest and states of the first ``size`` bytes, in one read; no digest if stopped."""
    hashed = sha1.Sha1()
    segment = segment_size(size)
    states = bytearray()
    buffer = pages(READ_BYTES)
    offset = 0
    while count := os.preadv(file, [buffer[: size - offset]], offset):
        at = 0
        while at < count:
            step = min(count - at, segment - (offset + at) % segment)
            hashed.update(buffer[at : at + step])
            at += step
            if (offset + at) % segment == 0 and offset + at < size:
                states += hashed.state()
        offset += count
        heard(count)
        if stop.is_set:
            return None, b""
    return Digest(hashed.digest()), bytes(states)


def hash_one(job: Job, stop: Stop, opener: Opener | None = None) -> Hashed | None:
    """Hash one file; None if it changed while it was read. Raises OSError."""
    file = (opener.open if opener else open_file)(job.root, job.parts)
    try:
        return hash_file(file, stop)
    finally:
        os.close(file)


def hash_file(file: int, stop: Stop, heard: Heard = _unheard) -> Hashed | None:
    """Hash an open file; None if it changed while it was read, or if stopped."""
    started = time.time_ns()
    before = Identity.of(os.fstat(file))
    digest: Digest | None
    if before.size <= LEAST_SEGMENT:
        small = hash_small(file, before)
        heard(before.size)
        digest, states = Digest(small) if small else None, b""
    elif sha1.available():
        digest, states = chain_of(file, before.size, stop, heard)
    else:
        digest, states = digest_of(file, stop, heard), b""
    after = Identity.of(os.fstat(file))
    if digest is None or before != after:
        return None
    return Hashed(digest, states, after, settled(after, started), generation(file))


def hash_small(file: int, identity: Identity) -> bytes | None:
    """The SHA-1 of an open small file, in one read; None if it has not this identity then."""
    data = os.pread(file, identity.size, 0)
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return (
        digest if Identity.of(os.fstat(file)) == identity and len(data) == identity.size else None
    )


def settled(identity: Identity, now: int) -> bool:
    """Whether a file would not have this identity if it had been written after ``now``."""
    return identity.ctime < now - YOUNG_NS


Read = Callable[[Job, Stop, Opener], Hashed | None]
Outcome = tuple[Job, Hashed | OSError | None]


def hash_all(
    jobs: Sequence[Job], stop: Stop, threads: int, read: Read | None = None
) -> Generator[list[Outcome], None, None]:
    """Hash files on ``threads`` cores, largest first; yields outcomes in batches as they come.

    ``read`` does it, ``hash_one`` if None.
    """
    read = read or hash_one
    batches: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
    done: queue.SimpleQueue[list[Outcome]] = queue.SimpleQueue()
    number = 0
    for number, batch in enumerate(_batches(jobs), 1):  # noqa: B007 - counted, used below
        batches.put(batch)
    with Scope(stop) as scope, scope.stop.waking(lambda: done.put([])):
        for index in range(min(threads, number)):
            scope.spawn(f"hash {index}", lambda: _work(batches, done, scope.stop, read))
        for _ in range(number):
            outcomes = done.get()
            if scope.stop.is_set:
                return
            yield outcomes


def _batches(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    size = 0
    for job in sorted(jobs, key=lambda job: job.size if job.size > _SMALL else 0, reverse=True):
        batch.append(job)
        size += job.size
        if len(batch) == _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _work(
    batches: queue.SimpleQueue[list[Job]],
    done: queue.SimpleQueue[list[Outcome]],
    stop: Stop,
    read: Read,
) -> None:
    while not stop.is_set:
        try:
            batch = batches.get_nowait()
        except queue.Empty:
            return
        with Opener() as opener:
            done.put([_outcome(job, read, stop, opener) for job in batch])


def _outcome(job: Job, read: Read, stop: Stop, opener: Opener) -> Outcome:
    try:
        return job, read(job, stop, opener)
    except OSError as error:
        return job, error
