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
from itertools import islice, takewhile
from typing import NamedTuple

from pirate.chain import Chain
from pirate.disk.hashcache import HashCache
from pirate.disk.hashing import Hashed, Job, hash_all
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

# A file that changed while it was read waits until it keeps its size between two looks, or was
# not written for so long: to read it sooner would be in vain. Less than who tells of changes
# waits (``policy.resting``), since nobody tells again of what rests.
REST_NS = 250_000_000

Trouble = dict[Place, OSError]


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
            until = takewhile(lambda _: not stop.is_set, walk)
            while some := list(islice(until, BATCH_FILES)):
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
            for job, outcome in outcomes:
                self._take(job, outcome, trouble)
            self._count(Progress(len(outcomes), bytes=sum(job.size for job, _ in outcomes)))
            self._pass_on()
        self._pass_on()

    def _take(self, job: Job, outcome: Hashed | OSError | None, trouble: Trouble) -> None:
        place = Place(job.root, job.parts)
        self._learn(place, outcome if isinstance(outcome, Hashed) else None)
        if isinstance(outcome, Hashed):
            self._cache.keep(outcome, job.label)
        elif outcome:
            trouble[place] = outcome
        else:  # it changed while it was read
            self._growing[place] = job.size

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
        firsts: dict[Identity, Place] = {}
        self._twins = {}
        jobs: list[Job] = []
        new: list[tuple[Place, Found]] = []
        for root, found in some:
            standing = self._index.meet(root, found.parts, found.identity)
            if standing is Standing.SETTLED:
                continue
            place = Place(root, found.parts)
            size = found.identity.size
            if (
                self._grew.pop(place, size) != size
                and now - REST_NS < found.identity.mtime < now + REST_NS
            ):
                self._growing[place] = size
                continue
            first = firsts.setdefault(found.identity, place)
            if first is not place:
                self._twins.setdefault(first, []).append(place)
            elif standing is Standing.NEW:
                new.append((place, found))
            else:  # what has changed where it is was not renamed
                jobs.append(Job(root, found.parts, size, found.label))
        jobs += self._unread(new, stop)
        return jobs

    def _unread(self, new: list[tuple[Place, Found]], stop: Stop) -> Iterator[Job]:
        """What has to be read of the files that were not there."""

        def generation(index: int) -> int:
            return generation_of(*new[index][0])

        known = self._cache.find([found for _, found in new], stop, generation)
        for (place, found), hashed in zip(new, known, strict=True):
            if hashed:
                self._learn(place, hashed)
            else:
                yield Job(*place, found.identity.size, found.label)

    def _learn(self, place: Place, hashed: Hashed | None) -> None:
        """Know a file wherever it lies; None: it changed meanwhile, and waits for the next scan."""
        for each in (place, *self._twins.get(place, ())):
            if hashed:
                self._index.learn(each, hashed)
            else:
                self._index.forget(each)

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
        changes = []
        for digest in sorted(self._index.changes()):
            entry = self._index.encoded(digest)
            if entry != before.encoded(digest):
                changes.append(entry)
        if changes or not before.revision:
            revision = max(before.revision + 1, time.time_ns())
            self._catalog = before.changed(revision, Run.packed(changes))
            self._changed()
