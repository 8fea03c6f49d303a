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

from pirate.chain import Chain
from pirate.disk.hashcache import HashCache
from pirate.disk.place import Place
from pirate.disk.source import Source, open_first
from pirate.disk.state import State
from pirate.disk.tree import Shares
from pirate.errors import NotFoundError, StaleError
from pirate.index import MOST_PLACES, Index
from pirate.model import Digest, Entry
from pirate.scanning import Progress, Scanner
from pirate.scope import Stop
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run

log = logging.getLogger(__name__)

# While a scan goes on, what is ready so far is published this often, in seconds, but so seldom
# that it takes no more than a thirtieth of the time: new files are spread over the whole catalog.
PUBLISH_SECONDS = 1.0
PUBLISH_SHARE = 0.03

# What is hashed goes into the cache this often.
FLUSH_SECONDS = 0.5


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
        self._rescan = rescan
        self._changed = changed
        self._cache = cache or HashCache(State(""))
        self._index = Index()
        self._scanner = Scanner(shares, self._index, self._cache, threads or os.cpu_count() or 1)
        self._troubled: set[Place] = set()
        self._wanted = threading.Event()
        self._all = False
        self._lock = threading.Lock()  # guards _places
        self._places: set[Place] = set()
        self._catalog = Catalog()
        self._due, self._flush = 0.0, 0.0
        self.scanned = threading.Event()

    @property
    def catalog(self) -> Catalog:
        """The entries as they were last published; from any thread, without waiting."""
        return self._catalog

    @property
    def progress(self) -> Progress:
        """How far the scan is, or was when it ended."""
        return self._scanner.progress

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
        self._due = time.monotonic() + PUBLISH_SECONDS
        with contextlib.closing(self._scanner.scan(stop, places)) as scan:
            for _ in scan:
                self._pass_on()
        if not stop.is_set:
            self._publish()
            self._tell(self._scanner.trouble, places)
        if not (stop.is_set or self.scanned.is_set()):
            self.scanned.set()
            self._cache.prune()
        self._cache.flush()

    def _pass_on(self) -> None:
        if (now := time.monotonic()) > self._flush:
            self._cache.flush()
            self._flush = time.monotonic() + FLUSH_SECONDS
        if now > self._due:
            self._publish()
            took = time.monotonic() - now
            self._due = now + max(PUBLISH_SECONDS, took / PUBLISH_SHARE)

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
        changes = self._index.changes(before)
        if changes or not before.revision:
            revision = max(before.revision + 1, time.time_ns())
            self._catalog = before.changed(revision, Run.packed(changes))
            self._changed()
