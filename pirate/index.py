"""What the library knows of each of its files, in columns: about 250 bytes a file and its name.

One thread writes, any thread may read: a lock guards the columns, held for one file at a time.
"""

import gc
import struct
import threading
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum

from pirate.disk.hashing import Hashed
from pirate.disk.tree import Identity, Parts, Place
from pirate.model import Digest
from pirate.wire.entries import encoded, name_of
from pirate.wire.fields import NAMES_LIMIT

# No more places of one file are looked at when it is opened.
MOST_PLACES = 64

_FEWEST_BUCKETS = 1024
_BUCKETS_GROW = 4  # times as many: to find all their buckets anew takes long

# So many numbers are made at a time.
_NUMBERS = 256

_IDENTITY = struct.Struct("=QQQqq")
_SIZE = struct.Struct("=16xQ")
_BUCKET = struct.Struct(">Q")  # the first bytes of a digest

# After how many new objects the collector looks at the youngest, at the next, at all.
_RARELY = (1_000_000, 50, 1000)


class Standing(Enum):
    """What the index can say of a file that was found."""

    NEW = "there was none of that name"
    CHANGED = "it is not the one that was hashed; it is forgotten"
    YOUNG = "it is, as far as that can be told so soon"
    SETTLED = "it is"


class _Folder:
    """A folder, and the numbers of the files in it."""

    __slots__ = ("files", "parts", "path", "root")

    def __init__(self, root: str, parts: Parts) -> None:
        self.root = root
        self.parts = parts
        self.path = "".join(f"{part}/" for part in parts)
        self.files: dict[str, int] = {}


class Index:
    """The files, each with a number of its own: its place in every column."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all that follows, but for _seen
        self._folders: dict[tuple[str, Parts], _Folder] = {}
        self._above: Counter[Place] = Counter()  # how many folders with files are below each
        self._names: list[str] = []
        self._places: list[_Folder] = []
        self._identities = bytearray()
        self._digests = bytearray()
        self._settled = bytearray()
        self._states: dict[int, bytes] = {}
        # Those whose digests fall into one bucket are a list in both directions; 0 ends it,
        # all other numbers are greater by one.
        self._heads = array("I", bytes(4 * _FEWEST_BUCKETS))
        self._next = array("I")
        self._before = array("I")
        self._free: list[int] = []
        self._changed: set[Digest] = set()
        self._seen = bytearray()  # of the library's thread

    def __len__(self) -> int:
        return len(self._names) - len(self._free)

    # For the thread that scans.

    def begin(self) -> None:
        """Begin a scan: nothing has been seen in it."""
        self._seen = bytearray(len(self._names))

    def meet(self, root: str, parts: Parts, identity: Identity) -> Standing:
        """What is known of a file that a scan has found."""
        number = self._number((root, parts))
        if number is None:
            return Standing.NEW
        if _IDENTITY.unpack_from(self._identities, number * _IDENTITY.size) != identity:
            with self._lock:
                self._drop(number)
            return Standing.CHANGED
        self._seen[number] = 1
        return Standing.SETTLED if self._settled[number] else Standing.YOUNG

    def learn(self, place: Place, hashed: Hashed) -> None:
        """Know what a file was when it was hashed."""
        root, parts = place
        with self._lock:
            folder = self._folders.get((root, parts[:-1])) or self._enter(Place(root, parts[:-1]))
            number = folder.files.get(parts[-1])
            if number is None:
                number = self._add(folder, parts[-1])
            else:
                self._unlink(number)
            self._fill(number, hashed)

    def forget(self, place: Place) -> None:
        """Know nothing of a file."""
        with self._lock:
            number = self._number(place)
            if number is not None:
                self._drop(number)

    def sweep(self, places: Iterable[Place] | None = None) -> None:
        """Forget what this scan has not seen, everywhere or at and below some places."""
        if places is None:
            self._sweep(list(self._folders.values()))
            return
        deep = set()
        for place in places:
            number = self._number(place)
            if number is not None and not self._seen[number]:
                self.forget(place)
            if place in self._folders or place in self._above:
                deep.add(place)
        if deep:
            self._sweep([each for each in self._folders.values() if _is_below(each, deep)])

    def _sweep(self, folders: Iterable[_Folder]) -> None:
        for folder in folders:
            for number in list(folder.files.values()):
                if not self._seen[number]:
                    with self._lock:
                        self._drop(number)

    def changes(self) -> set[Digest]:
        """The digests that files had or have which have come or gone since this was asked."""
        changed, self._changed = self._changed, set()
        return changed

    # For everybody.

    def places(self, digest: Digest, most: int | None = None) -> list[tuple[Place, Identity]]:
        """Where a file lies, and what it has there; at most so many places."""
        found = []
        with self._lock:
            for number in self._numbers(digest):
                folder = self._places[number]
                place = Place(folder.root, (*folder.parts, self._names[number]))
                found.append((place, self._identity(number)))
                if len(found) == most:
                    break
        return found

    def encoded(self, digest: Digest) -> bytes:
        """The entry of a digest as it is on the wire; that it is gone if it lies nowhere."""
        names, size = set(), 0
        with self._lock:
            for number in self._numbers(digest):
                names.add(name_of(self._places[number].path, self._names[number]))
                (size,) = _SIZE.unpack_from(self._identities, number * _IDENTITY.size)
        return encoded(digest, size, sorted(names)[:NAMES_LIMIT])

    def states(self, digest: Digest) -> bytes:
        """The states of a file's chain; none if there are none."""
        with self._lock:
            return next(filter(None, map(self._states.get, self._numbers(digest))), b"")

    # Under the lock.

    def _number(self, place: tuple[str, Parts]) -> int | None:
        root, parts = place
        folder = self._folders.get((root, parts[:-1]))
        return folder.files.get(parts[-1]) if folder and parts else None

    def _identity(self, number: int) -> Identity:
        return Identity._make(_IDENTITY.unpack_from(self._identities, number * _IDENTITY.size))

    def _enter(self, place: Place) -> _Folder:
        folder = self._folders[place] = _Folder(*place)
        self._above.update(_above(place))
        return folder

    def _add(self, folder: _Folder, name: str) -> int:
        if not self._free:
            self._grow()
        number = folder.files[name] = self._free.pop()
        self._names[number], self._places[number] = name, folder
        return number

    def _fill(self, number: int, hashed: Hashed) -> None:
        _IDENTITY.pack_into(self._identities, number * _IDENTITY.size, *hashed.identity)
        self._digests[20 * number : 20 * number + 20] = hashed.digest
        self._settled[number], self._seen[number] = hashed.settled, 1
        if hashed.states:
            self._states[number] = hashed.states
        self._link(number)
        self._changed.add(hashed.digest)

    def _grow(self) -> None:
        """Have numbers that were none yet."""
        first = len(self._names)
        after = first + _NUMBERS
        self._names += [""] * _NUMBERS
        self._places += [_NOWHERE] * _NUMBERS
        self._identities += bytes(_NUMBERS * _IDENTITY.size)
        self._digests += bytes(_NUMBERS * Digest.SIZE)
        for links in (self._next, self._before):
            links.frombytes(bytes(_NUMBERS * links.itemsize))
        self._settled += bytes(_NUMBERS)
        self._seen += bytes(_NUMBERS)
        self._free += range(after - 1, first - 1, -1)
        if after > len(self._heads):
            self._heads = array("I", bytes(4 * _BUCKETS_GROW * len(self._heads)))
            for number in range(first):
                if self._places[number] is not _NOWHERE:
                    self._link(number)

    def _drop(self, number: int) -> None:
        folder, name = self._places[number], self._names[number]
        del folder.files[name]
        if not folder.files:
            key = Place(folder.root, folder.parts)
            del self._folders[key]
            for place in _above(key):
                self._above[place] -= 1
                if not self._above[place]:
                    del self._above[place]
        self._unlink(number)
        self._names[number], self._places[number] = "", _NOWHERE
        self._free.append(number)

    def _unlink(self, number: int) -> None:
        """Nothing of that digest lies there any more."""
        digest = self._digest(number)
        self._changed.add(digest)
        before, after = self._before[number], self._next[number]
        if before:
            self._next[before - 1] = after
        else:
            self._heads[self._bucket(digest)] = after
        if after:
            self._before[after - 1] = before
        self._states.pop(number, None)

    def _link(self, number: int) -> None:
        bucket = self._bucket(self._digests[20 * number : 20 * number + 8])
        after = self._heads[bucket]
        self._heads[bucket] = number + 1
        self._next[number], self._before[number] = after, 0
        if after:
            self._before[after - 1] = number + 1

    def _numbers(self, digest: bytes) -> Iterator[int]:
        link = self._heads[self._bucket(digest)]
        while link:
            if self._digests[20 * link - 20 : 20 * link] == digest:
                yield link - 1
            link = self._next[link - 1]

    def _digest(self, number: int) -> Digest:
        return Digest(bytes(self._digests[20 * number : 20 * number + 20]))

    def _bucket(self, digest: bytes | bytearray) -> int:
        first: int
        (first,) = _BUCKET.unpack_from(digest)
        return first % len(self._heads)


_NOWHERE = _Folder("", ())


def _above(place: Place) -> list[Place]:
    """The folders that it is in, up to the shared one."""
    return [Place(place.root, place.parts[:depth]) for depth in range(len(place.parts))]


def _is_below(folder: _Folder, places: set[Place]) -> bool:
    """Whether a folder is one of these places, or below one."""
    place = Place(folder.root, folder.parts)
    return any(each in places for each in (place, *_above(place)))


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Make many objects, and do not spend half of the time on looking at all for garbage."""
    before = gc.get_threshold()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
