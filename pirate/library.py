"""What we share: folders to catalog snapshots, and a digest to an open file.

One thread scans; everybody else reads the last snapshot without a lock.
"""

import contextlib
import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from pirate.chain import Chain
from pirate.disk.hashcache import HashCache
from pirate.disk.hashing import Hashed, Job, Outcome, hash_all
from pirate.disk.state import State
from pirate.disk.tree import Found, Identity, Parts, Place, Shares, generation_of, open_file
from pirate.errors import NotFoundError, StaleError
from pirate.model import Digest, Entry
from pirate.scope import Stop
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run
from pirate.wire.fields import NAME_LIMIT, NAMES_LIMIT

log = logging.getLogger(__name__)

# While a scan hashes, what is ready so far is published this often, in seconds, but so seldom
# that publishing, which costs the more the more there is, takes no more than a tenth of the time.
PUBLISH_SECONDS = 1.0
PUBLISH_SHARE = 0.1

# What is hashed goes into the cache this often.
FLUSH_SECONDS = 0.5

# Thresholds of the collector: how many objects are made before it looks at the youngest, at the
# next, at all.
_RARELY = (100_000, 50, 1000)


# A file that changed while it was read waits until it keeps its size between two looks, or was
# not written for so long: to read it sooner would be in vain. Less than who tells of changes
# waits (``policy.resting``), since nobody tells again of what rests.
REST_NS = 250_000_000


class Progress(NamedTuple):
    """How much of what the scan has to read is read."""

    files: int = 0
    of_files: int = 0
    bytes: int = 0
    of_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The library at one revision."""

    catalog: Catalog = field(default_factory=Catalog)
    places: Mapping[Digest, tuple[tuple[Place, Identity], ...]] = field(default_factory=dict)
    entries: Mapping[Digest, Entry] = field(default_factory=dict)
    states: Mapping[Digest, bytes] = field(default_factory=dict)


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
        self._known: dict[Place, Hashed] = {}
        self._twins: dict[Place, list[Place]] = {}
        self._growing: dict[Place, int] = {}  # and the size at the last look
        self._troubled: set[Place] = set()
        self._wanted = threading.Event()
        self._snapshot = Snapshot()
        self.scanned = threading.Event()
        self.progress = Progress()

    @property
    def catalog(self) -> Catalog:
        """The entries of the last snapshot; from any thread, without waiting."""
        return self._snapshot.catalog

    def entry(self, digest: Digest) -> Entry:
        """The entry of a digest; NotFoundError if we do not share it."""
        try:
            return self._snapshot.entries[digest]
        except KeyError:
            raise NotFoundError("not shared here") from None

    def chain(self, digest: Digest) -> Chain | None:
        """The chain of a digest, if there is one; NotFoundError if we do not share it."""
        snapshot = self._snapshot
        size = self.entry(digest).size
        try:
            return Chain(digest, size, snapshot.states.get(digest, b""))
        except ValueError:  # hashed where no chain could be had
            return None

    @contextmanager
    def open(self, digest: Digest) -> Iterator[Source]:
        """The file of a digest, open for one thread, its identity checked.

        Raises NotFoundError if we do not share it, and StaleError, after asking for a scan,
        if every place where it was has changed.
        """
        places = self._snapshot.places.get(digest)
        if not places:
            raise NotFoundError("not shared here")
        for place, identity in places:
            with contextlib.suppress(OSError, StaleError):
                source = Source(open_file(*place), identity)
                try:
                    source.check()
                except StaleError:
                    os.close(source.file)
                    raise
                break
        else:
            self.rescan()
            raise StaleError("the file has changed since it was hashed")
        try:
            yield source
        finally:
            os.close(source.file)

    def rescan(self) -> None:
        """Ask for a scan now; from any thread, and from a signal handler's."""
        self._wanted.set()

    def rescan_every(self, seconds: float) -> None:
        """Scan so often from now on; from any thread."""
        sooner = seconds < self._rescan
        self._rescan = seconds
        if sooner:
            self.rescan()

    def look(self, places: Sequence[Place]) -> None:
        """Ask for a look at what has changed: files, or folders with all below them."""
        if places:
            self.rescan()

    def run(self, stop: Stop) -> None:
        """Scan at once, then on the timer and whenever somebody asks, until stopped."""
        with stop.waking(self._wanted.set):
            while not stop.is_set:
                self._wanted.clear()
                self.scan(stop)
                self._wanted.wait(self._rescan)

    def scan(self, stop: Stop) -> None:
        """Bring the snapshot up to date, reading only the files that changed."""
        with _rarely_collected():
            self._scan(stop)

    def _scan(self, stop: Stop) -> None:
        trouble: dict[Place, OSError] = {}
        jobs = self._walk(trouble, stop)
        self.progress = Progress(of_files=len(jobs), of_bytes=sum(job.size for job in jobs))
        flushed = time.monotonic()
        due = flushed + PUBLISH_SECONDS
        for outcomes in hash_all(jobs, stop, self._threads):
            for job, outcome in outcomes:
                place = Place(job.root, job.parts)
                if isinstance(outcome, Hashed):
                    self._learn(place, outcome)
                    self._cache.keep(outcome, job.label)
                    continue
                self._learn(place, None)
                if outcome:
                    trouble[place] = outcome
                else:  # it changed while it was read
                    self._growing[place] = job.size
            self._count(outcomes)
            if (now := time.monotonic()) > flushed + FLUSH_SECONDS:
                self._cache.flush()
                flushed = time.monotonic()
            if now > due:
                self._publish()
                took = time.monotonic() - now
                due = now + max(PUBLISH_SECONDS, took / PUBLISH_SHARE)
        if stop.is_set:
            self._cache.flush()
            return
        self._publish()
        self._tell(trouble)
        first = not self.scanned.is_set()
        self.scanned.set()
        self._cache.flush()
        if first:
            gc.freeze()  # what is known of a million files is no garbage
            self._cache.prune()

    def _count(self, outcomes: list[Outcome]) -> None:
        done, size = self.progress, sum(job.size for job, _ in outcomes)
        self.progress = done._replace(files=done.files + len(outcomes), bytes=done.bytes + size)

    def _walk(self, trouble: dict[Place, OSError], stop: Stop) -> list[Job]:
        """Walk everything: forget what is gone, and give what has to be read."""
        before, self._known = self._known, {}
        growing, self._growing = self._growing, {}
        firsts: dict[Identity, Place] = {}
        self._twins = {}
        jobs: list[Job] = []
        new: list[tuple[str, Found]] = []

        def note(root: str, parts: Parts, error: OSError) -> None:
            trouble[Place(root, parts)] = error

        for root, found in self._shares.walk(note):
            if stop.is_set:
                return []
            place = Place(root, found.parts)
            known = before.get(place)
            if known and known.identity == found.identity:
                self._known[place] = known  # stays listed even if it is read again
                if known.settled:
                    continue
            size = found.identity.size
            if growing.get(place, size) != size and _written_lately(found):
                self._growing[place] = size
                continue
            first = firsts.setdefault(found.identity, place)
            if first is not place:
                self._twins.setdefault(first, []).append(place)
            elif known:  # what has changed where it is was not renamed
                jobs.append(Job(root, found.parts, size, found.label))
            else:
                new.append((root, found))
        jobs += self._unread(new, stop)
        return jobs

    def _unread(self, new: list[tuple[str, Found]], stop: Stop) -> Iterator[Job]:
        """What has to be read of the files that were not there, below their roots."""

        def generation(index: int) -> int:
            root, found = new[index]
            return generation_of(root, found.parts)

        known = self._cache.find([found for _, found in new], stop, generation)
        for (root, found), hashed in zip(new, known, strict=True):
            if hashed:
                self._learn(Place(root, found.parts), hashed)
            else:
                yield Job(root, found.parts, found.identity.size, found.label)

    def _learn(self, place: Place, hashed: Hashed | None) -> None:
        """Know a file wherever it lies; None: it changed meanwhile, and waits for the next scan."""
        for each in (place, *self._twins.get(place, ())):
            if hashed:
                self._known[each] = hashed
            else:
                self._known.pop(each, None)

    def _tell(self, trouble: dict[Place, OSError]) -> None:
        """Log what cannot be shared, once and not at every scan."""
        for place, error in trouble.items():
            if place not in self._troubled:
                path = "/".join((place.root, *place.parts))
                log.warning("not shared: %r: %s", path, error.strerror or error)
        self._troubled = set(trouble)

    def _publish(self) -> None:
        """Make a snapshot of what is known. The revision changes only if the entries do."""
        places: dict[Digest, list[tuple[Place, Identity]]] = {}
        states: dict[Digest, bytes] = {}
        for place, hashed in self._known.items():
            places.setdefault(hashed.digest, []).append((place, hashed.identity))
            if hashed.states:
                states[hashed.digest] = hashed.states
        entries = {
            digest: Entry(digest, several[0][1].size, _names(several))
            for digest, several in places.items()
        }
        known = self._snapshot.entries
        changes = [entry for digest, entry in entries.items() if known.get(digest) != entry]
        changes += [Entry(digest, 0, ()) for digest in known.keys() - entries.keys()]
        before = catalog = self._snapshot.catalog
        if changes or not before.revision:
            changes.sort(key=lambda entry: entry.digest)
            revision = max(before.revision + 1, time.time_ns())
            catalog = before.changed(revision, Run.of(changes))
        self._snapshot = Snapshot(
            catalog,
            {digest: tuple(several) for digest, several in places.items()},
            entries,
            states,
        )
        if catalog is not before:
            self._changed()


def _written_lately(found: Found) -> bool:
    return abs(time.time_ns() - found.identity.mtime) < REST_NS


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Make many objects without all of them being looked at for garbage again and again.

    With a hundred thousand files that takes as long as everything else.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _names(places: list[tuple[Place, Identity]]) -> tuple[str, ...]:
    """The names that a digest is known by here, as PROTOCOL.md allows them."""
    if len(places) == 1:
        return (_name(places[0][0].parts),)
    return tuple(sorted({_name(place.parts) for place, _ in places})[:NAMES_LIMIT])


def _name(parts: Parts) -> str:
    """A path below a share as text.

    What is not UTF-8 becomes U+FFFD, what is too long loses its folders.
    """
    for text in ("/".join(parts), parts[-1]):
        if text.isascii() and len(text) <= NAME_LIMIT:
            return text
        name = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if len(name.encode()) <= NAME_LIMIT:
            return name
    raise AssertionError("a file name has at most 255 bytes")
