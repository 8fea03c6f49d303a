"""What we share: folders to catalogs, and a digest to an open file.

One thread scans and publishes a catalog; everybody else reads that without a lock.
"""

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

from pirate.chain import Chain
from pirate.disk.hashcache import HashCache
from pirate.disk.hashing import Hashed, Job, Outcome, hash_all
from pirate.disk.source import Source, generation_of, open_first
from pirate.disk.state import State
from pirate.disk.tree import Found, Identity, Parts, Place, Shares
from pirate.errors import NotFoundError, StaleError
from pirate.index import MOST_PLACES, Index, Standing, rarely_collected
from pirate.model import Digest, Entry
from pirate.scope import Stop
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run

log = logging.getLogger(__name__)

# While a scan goes on, what is ready so far is published this often, in seconds, but so seldom
# that it takes no more than a tenth of the time: new files are spread over the whole catalog.
PUBLISH_SECONDS = 1.0
PUBLISH_SHARE = 0.1

# What is hashed goes into the cache this often.
FLUSH_SECONDS = 0.5

# So many files are found, looked up and hashed at a time: what that needs is freed again.
BATCH_FILES = 20_000

# After so many it looks at the stop.
LOOK_FILES = 100

# A file that changed while it was read waits until it keeps its size between two looks, or was
# not written for so long: to read it sooner would be in vain. Less than who tells of changes
# waits (``policy.resting``), since nobody tells again of what rests.
REST_NS = 250_000_000

Trouble = dict[Place, OSError]
Known = tuple[Place, Hashed]


class Progress(NamedTuple):
    """How much is read of what the scan has to read, as far as it has come."""

    files: int = 0
    of_files: int = 0
    bytes: int = 0
    of_bytes: int = 0


class Library:
    """The folders that we share. ``run`` is the body of the thread that scans them."""

    def __init__(
        self,
        shares: Shares,
        *,
        rescan: float,
        changed: Callable[[], None] = lambda: None,
        threads: int | None = None,
        cache: HashCache | None = None,
    ) -> None:
        """``rescan``: seconds between scans; ``changed`` is called after every new revision.

        ``threads``: how many hash, one a core if None. ``cache``: none if None.
        """
        self._shares = shares
        self._rescan = rescan
        self._changed = changed
        self._threads = threads or os.cpu_count() or 1
        self._cache = cache or HashCache(State(""))
        self._index = Index()
        self._twins: dict[Place, list[Place]] = {}
        self._growing: dict[Place, int] = {}  # and the size at the last look
        self._grew: dict[Place, int] = {}  # the same of the last scan
        self._troubled: set[Place] = set()
        self._wanted = threading.Event()
        self._all = False
        self._lock = threading.Lock()  # guards _places
        self._places: set[Place] = set()
        self._catalog = Catalog()
        self._due, self._flush = 0.0, 0.0
        self.scanned = threading.Event()
        self.progress = Progress()

    @property
    def catalog(self) -> Catalog:
        """The entries as they were last published; from any thread, without waiting."""
        return self._catalog

    def entry(self, digest: Digest) -> Entry:
        """The entry of a digest; NotFoundError if we do not share it."""
        entry = self._catalog.get(digest)
        if entry is None:
            raise NotFoundError("not shared here")
        return entry

    def chain(self, digest: Digest) -> Chain | None:
        """The chain of a digest, if there is one; NotFoundError if we do not share it."""
        size = self.entry(digest).size
        try:
            return Chain(digest, size, self._index.states(digest))
        except ValueError:  # hashed where no chain could be had
            return None

    @contextmanager
    def open(self, digest: Digest) -> Iterator[Source]:
        """The file of a digest, open for one thread, its identity checked.

        Raises NotFoundError if we do not share it, and StaleError, after asking for a look, if
        every place where it was has changed.
        """
        places = self._index.places(digest, MOST_PLACES)
        if not places:
            raise NotFoundError("not shared here")
        try:
            opened = open_first(places)
        except StaleError:
            self.look(place for place, _ in places)
            raise
        with opened as source:
            yield source

    def rescan(self) -> None:
        """Ask for a scan now; from any thread, and from a signal handler's."""
        self._all = True
        self._wanted.set()

    def look(self, places: Iterable[Place]) -> None:
        """Ask for a look at some files, or folders with all below them; from any thread."""
        with self._lock:
            self._places.update(places)
        self._wanted.set()

    def rescan_every(self, seconds: float) -> None:
        """Scan so often from now on; from any thread."""
        sooner = seconds < self._rescan
        self._rescan = seconds
        if sooner:
            self.rescan()

    def run(self, stop: Stop) -> None:
        """Scan at once, then on the timer and whenever somebody asks, until stopped."""
        due = -math.inf
        with stop.waking(self._wanted.set):
            while not stop.is_set:
                self._wanted.clear()
                with self._lock:
                    places, self._places = self._places, set()
                if full := self._all or time.monotonic() >= due:
                    self._all = False
                self.scan(stop, None if full else places)
                due = time.monotonic() + self._rescan if full else due
                self._wanted.wait(max(0.0, due - time.monotonic()))

    def scan(self, stop: Stop, places: Collection[Place] | None = None) -> None:
        """Bring the catalog up to date, reading only the files that changed.

        With ``places`` only what is at and below them is looked at.
        """
        trouble: Trouble = {}
        self._index.begin()
        self._grew, self._growing = self._growing, {} if places is None else self._growing
        self.progress = Progress()
        self._due = time.monotonic() + PUBLISH_SECONDS

        def note(root: str, parts: Parts, error: OSError) -> None:
            trouble[Place(root, parts)] = error

        with rarely_collected(), contextlib.closing(self._shares.walk(note, places)) as walk:
            for some in _batches(walk, stop):
                self._bring(some, trouble, stop)
        if not stop.is_set:
            self._index.sweep(places)
            self._publish()
            self._tell(trouble, places)
        if not (stop.is_set or self.scanned.is_set()):
            self.scanned.set()
            self._cache.prune()
        self._cache.flush()

    def _bring(self, some: list[tuple[str, Found]], trouble: Trouble, stop: Stop) -> None:
        """Know some files that are there, and read those that have to be read."""
        jobs = self._unknown(some, stop)
        self._count(Progress(of_files=len(jobs), of_bytes=sum(job.size for job in jobs)))
        for outcomes in hash_all(jobs, stop, self._threads):
            self._learn(self._taken(outcomes, trouble))
            self._count(Progress(len(outcomes), bytes=sum(job.size for job, _ in outcomes)))
            self._pass_on()
        self._pass_on()

    def _taken(self, outcomes: Iterable[Outcome], trouble: Trouble) -> Iterator[Known]:
        """What is known of some files now that they have been read."""
        for job, outcome in outcomes:
            place = Place(job.root, job.parts)
            if isinstance(outcome, Hashed):
                self._cache.keep(outcome, job.label)
                yield place, outcome
                continue
            if outcome:
                trouble[place] = outcome
            else:  # it changed while it was read
                self._growing[place] = job.size
            for each in (place, *self._twins.get(place, ())):
                self._index.forget(each)

    def _count(self, more: Progress) -> None:
        self.progress = Progress(*map(sum, zip(self.progress, more, strict=True)))

    def _pass_on(self) -> None:
        if (now := time.monotonic()) > self._flush:
            self._cache.flush()
            self._flush = time.monotonic() + FLUSH_SECONDS
        if now > self._due:
            self._publish()
            took = time.monotonic() - now
            self._due = now + max(PUBLISH_SECONDS, took / PUBLISH_SHARE)

    def _unknown(self, some: list[tuple[str, Found]], stop: Stop) -> list[Job]:
        """What has to be read of some files: what is known of the others is kept."""
        now = time.time_ns()
        young = range(now - REST_NS, now + REST_NS)
        new: list[tuple[Place, Found]] = []
        unread: list[tuple[Place, Found]] = []
        for root, found in some:
            standing = self._index.meet(root, found.parts, found.identity)
            if standing is Standing.SETTLED:
                continue
            place, identity = Place(root, found.parts), found.identity
            grew = self._grew.pop(place, identity.size) if self._grew else identity.size
            if grew != identity.size and identity.mtime in young:
                self._growing[place] = identity.size
            elif standing is Standing.NEW:
                new.append((place, found))
            else:  # what has changed where it is was not renamed
                unread.append((place, found))
        self._learn(self._remembered(new, unread, stop))
        return self._jobs(unread)

    def _remembered(
        self, new: list[tuple[Place, Found]], unread: list[tuple[Place, Found]], stop: Stop
    ) -> Iterator[Known]:
        """What the cache knows of the files that were not there; the others are ``unread``."""

        def generation(index: int) -> int:
            return generation_of(*new[index][0])

        known = self._cache.find([found for _, found in new], stop, generation)
        for each, hashed in zip(new, known, strict=True):
            if hashed:
                yield each[0], hashed
            else:
                unread.append(each)

    def _jobs(self, unread: list[tuple[Place, Found]]) -> list[Job]:
        """Files to be read, each once, wherever it lies."""
        self._twins = {}
        firsts: dict[Identity, Place] = {}
        jobs = []
        for place, found in unread:
            first = firsts.setdefault(found.identity, place)
            if first is place:
                jobs.append(Job(*place, found.identity.size, found.label))
            else:
                self._twins.setdefault(first, []).append(place)
        return jobs

    def _learn(self, known: Iterable[Known]) -> None:
        """Know some files, and those that are the same, wherever they lie."""
        twins = self._twins

        def everywhere() -> Iterator[Known]:
            for place, hashed in known:
                yield place, hashed
                if place in twins:
                    yield from ((each, hashed) for each in twins[place])

        self._index.learn(everywhere() if twins else known)

    def _tell(self, trouble: dict[Place, OSError], places: Collection[Place] | None = None) -> None:
        """Log what cannot be shared, once and not at every scan."""
        for place, error in trouble.items():
            if place not in self._troubled:
                path = "/".join((place.root, *place.parts))
                log.warning("not shared: %r: %s", path, error.strerror or error)
        if places is None:
            self._troubled.clear()
        looked = {one for one in self._troubled if any(one.is_below(each) for each in places or ())}
        self._troubled = self._troubled - looked | trouble.keys()

    def _publish(self) -> None:
        """Make a catalog of what is known. The revision changes only if the entries do."""
        before = self._catalog
        changes = before.unlike([*self._index.entries(sorted(self._index.changes()))])
        if changes or not before.revision:
            revision = max(before.revision + 1, time.time_ns())
            self._catalog = before.changed(revision, Run.packed(changes))
            self._changed()


def _batches(walk: Iterator[tuple[str, Found]], stop: Stop) -> Iterator[list[tuple[str, Found]]]:
    """The files of a walk, until stopped."""
    batch: list[tuple[str, Found]] = []
    while (some := list(islice(walk, LOOK_FILES))) and not stop.is_set:
        batch += some
        if len(batch) >= BATCH_FILES:
            yield batch
            batch = []
    if batch and not stop.is_set:
        yield batch
