"""Brings the index up to date with the shared folders: what is found, looked up, or read."""

import contextlib
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from itertools import groupby, islice, repeat
from typing import NamedTuple, cast

from pirate.chain import LEAST_SEGMENT
from pirate.disk.hashcache import Asked, HashCache
from pirate.disk.hashers import Hashers, Read
from pirate.disk.hashing import Hashed, Job, Sheet, hash_all
from pirate.disk.hashrows import digest_in
from pirate.disk.place import Identity, Parts, Place
from pirate.disk.source import generation_of
from pirate.disk.tree import Listing, Shares
from pirate.index import Index, rarely_collected
from pirate.scope import Stop

# So many files are found and looked up at a time, while those found before are read.
BATCH_FILES = 5_000

# Fewer small files than these are not worth other processes, which take 0.1 s to start.
FEWEST_SMALL = 2_000

# So many are read by another process at a time, and so many times as many are under way.
_ORDER_FILES = 250
_ORDERS = 80

# A file that changed while it was read waits until it keeps its size between two looks, or was
# not written for so long: to read it sooner would be in vain. Less than who tells of changes
# waits (``policy.resting``), since nobody tells again of what rests.
REST_NS = 250_000_000

_Each = tuple[Listing, int]


class Progress(NamedTuple):
    """How much is read of what the scan has to read, as far as it has come."""

    files: int = 0
    of_files: int = 0
    bytes: int = 0
    of_bytes: int = 0


class Scanner:
    """Scans the shares for one index, in one thread."""

    def __init__(self, shares: Shares, index: Index, cache: HashCache, threads: int) -> None:
        """``threads``: how many files are read at once."""
        self._shares = shares
        self._index = index
        self._cache = cache
        self._threads = threads
        self._twins: dict[Place, list[Place]] = {}
        self._left: list[_Each] = []  # what others could not read
        self._growing: dict[Place, int] = {}  # and the size at the last look
        self._grew: dict[Place, int] = {}  # the same of the last scan
        self.trouble: dict[Place, OSError] = {}
        self.progress = Progress()

    def scan(
        self, stop: Stop, places: Collection[Place] | None = None
    ) -> Generator[None, None, None]:
        """Go through everything, or what is at and below some places; yields as it gets on.

        What could not be had is in ``trouble`` then.
        """
        self.trouble, self.progress = {}, Progress()
        self._grew, self._growing = self._growing, {} if places is None else self._growing
        self._index.begin()

        def note(root: str, parts: Parts, error: OSError) -> None:
            self.trouble[Place(root, parts)] = error

        with (
            rarely_collected(),
            contextlib.closing(self._shares.listings(note, places)) as listings,
            Hashers(self._threads, stop) as hashers,
        ):
            for some in _batches(listings, stop):
                yield from self._bring(some, hashers, stop)
            yield from self._collect(hashers, 0)
            yield from self._read([], stop)
        self._twins = {}
        if not stop.is_set:
            self._index.sweep(places)

    def _bring(self, some: list[Listing], hashers: Hashers, stop: Stop) -> Iterator[None]:
        """Know some files that are there, and have those read that have to be."""
        unread = self._once(self._unknown(some, stop))
        size = sum(_identity(each).size for each in unread)
        self._count(Progress(of_files=len(unread), of_bytes=size))
        small = [each for each in unread if _identity(each).size <= LEAST_SEGMENT]
        if hashers.started or len(small) >= FEWEST_SMALL:
            for order in _orders(small):
                hashers.ask(order)
            unread = [each for each in unread if _identity(each).size > LEAST_SEGMENT]
        yield from self._collect(hashers, _ORDERS)
        yield from self._read(unread, stop)
        yield

    def _collect(self, hashers: Hashers, left: int) -> Iterator[None]:
        """Know what others have read, until they have only so many orders left."""
        for read in hashers.read(left):
            self._take(read)
            yield

    def _read(self, unread: list[_Each], stop: Stop) -> Iterator[None]:
        """Read files in threads of our own."""
        jobs = [*map(_job, unread + self._left)]
        self._left = []
        for outcomes in hash_all(jobs, stop, self._threads):
            for outcome in outcomes:
                self._take_one(*outcome)
            self._count(Progress(len(outcomes), bytes=sum(job.size for job, _ in outcomes)))
            yield

    def _unknown(self, some: list[Listing], stop: Stop) -> list[_Each]:
        """The files that have to be read: what is known of the others is kept."""
        fresh: list[tuple[Listing, Sequence[int]]] = []
        unread: list[_Each] = []
        for listing in some:
            new, again = self._index.meet(listing)
            if self._grew:
                new = [at for at in new if self._rests(listing, at)]
                again = [at for at in again if self._rests(listing, at)]
            if new:
                fresh.append((listing, new))
            unread += zip(repeat(listing), again)  # what has changed where it is was not renamed
        return unread + self._unremembered(fresh, stop)

    def _rests(self, listing: Listing, at: int) -> bool:
        """Whether it is not one that grows, as far as can be seen."""
        place, identity = _place((listing, at)), listing.identities[at]
        now = time.time_ns()
        if (
            self._grew.pop(place, identity.size) == identity.size
            or not now - REST_NS < identity.mtime < now + REST_NS
        ):
            return True
        self._growing[place] = identity.size
        return False

    def _unremembered(self, fresh: list[tuple[Listing, Sequence[int]]], stop: Stop) -> list[_Each]:
        """The files that were not there, and that the cache does not know."""
        each: list[_Each] = []
        identities: list[Identity] = []
        for listing, places in fresh:
            each += zip(repeat(listing), places)
            identities += listing.some(places).identities

        def label(number: int) -> int:
            listing, at = each[number]
            return listing.label(at)

        def generation(number: int) -> int:
            return generation_of(*_place(each[number]))

        known = self._cache.find(Asked(identities, label, generation), stop)
        unknown: list[_Each] = []
        first = 0
        for listing, places in fresh:
            after = first + len(places)
            digests, numbers = known.digests[first:after], range(first, after)
            states = {}
            if known.states:
                states = {n - first: known.states[n] for n in numbers if n in known.states}
            sheet = _sheet(listing, places, cast("list[bytes]", digests), states)
            if None in digests:
                unknown += [(listing, places[at]) for at, one in enumerate(digests) if not one]
                sheet = sheet.some([at for at, digest in enumerate(digests) if digest])
            self._index.learn(sheet)
            first = after
        return unknown

    def _once(self, unread: list[_Each]) -> list[_Each]:
        """The files without those that are one of the others, under another name."""
        firsts: dict[Identity, _Each] = {}
        for each in unread:
            first = firsts.setdefault(_identity(each), each)
            if first is not each:
                self._twins.setdefault(_place(first), []).append(_place(each))
        return [*firsts.values()]

    def _take(self, read: Read) -> None:
        """Know small files that were read, and read those later that were not as found."""
        listing, rows, settled = read
        good = [at for at, row in enumerate(rows) if row]
        digests = [digest_in(row or b"") for row in rows]
        whole = Sheet(*listing[:2], listing.names, listing.identities, digests, settled, {})
        self._index.learn(whole.some(good) if len(good) < len(rows) else whole)
        for at in good if self._twins else ():
            for root, parts in self._twins.get(_place((listing, at)), ()):
                twin = whole.some([at])._replace(root=root, parts=parts[:-1], names=parts[-1:])
                self._index.learn(twin)
        for at in good:
            if settled[at]:
                self._cache.keep_row(listing.identities[at], rows[at] or b"")
        self._count(Progress(len(good), bytes=sum(listing.identities[at].size for at in good)))
        self._left += [(listing, at) for at, row in enumerate(rows) if not row]

    def _take_one(self, job: Job, outcome: Hashed | OSError | None) -> None:
        place = Place(job.root, job.parts)
        places = (place, *self._twins.get(place, ()))
        if isinstance(outcome, Hashed):
            self._cache.keep(outcome, job.label)
            for each in places:
                self._index.learn(Sheet.of(each.folder, {each.parts[-1]: outcome}))
            return
        if outcome:
            self.trouble[place] = outcome
        else:  # it changed while it was read
            self._growing[place] = job.size
        for each in places:
            self._index.forget(each)

    def _count(self, more: Progress) -> None:
        self.progress = Progress(*map(sum, zip(self.progress, more, strict=True)))


def _batches(listings: Iterator[Listing], stop: Stop) -> Iterator[list[Listing]]:
    """What is found, some at a time, until stopped."""
    batch: list[Listing] = []
    files = 0
    for listing in listings:
        batch.append(listing)
        files += len(listing.names)
        if stop.is_set:
            return
        if files >= BATCH_FILES:
            yield batch
            batch, files = [], 0
    if batch:
        yield batch


def _orders(each: Iterable[_Each]) -> Iterator[Listing]:
    """The files of each folder, so many at a time."""
    for _, group in groupby(each, key=lambda one: id(one[0])):
        while some := list(islice(group, _ORDER_FILES)):
            listing, places = some[0][0], [at for _, at in some]
            yield listing.some(places)


def _sheet(
    listing: Listing, places: Sequence[int], digests: Sequence[bytes], states: dict[int, bytes]
) -> Sheet:
    """What is known for certain of some files of a listing."""
    root, parts, _, names, identities, _ = listing.some(places)
    return Sheet(root, parts, names, identities, digests, b"\1" * len(places), states)


def _identity(each: _Each) -> Identity:
    listing, at = each
    return listing.identities[at]


def _place(each: _Each) -> Place:
    listing, at = each
    return Place(listing.root, (*listing.parts, listing.names[at]))


def _job(each: _Each) -> Job:
    listing, at = each
    return Job(*_place(each), listing.identities[at].size, listing.label(at))
