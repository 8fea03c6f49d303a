"""What the library knows of each of its files, in columns: about 250 bytes a file and its name.

One thread writes, any thread may read: a lock guards the columns, held for one file at a time.
"""

import gc
import threading
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum

from pirate.disk.hashing import Hashed
from pirate.disk.tree import Identity, Parts, Place
from pirate.model import Digest, Entry
from pirate.wire.fields import NAME_LIMIT, NAMES_LIMIT

# No more places of one file are looked at when it is opened.
MOST_PLACES = 64

_FEWEST_BUCKETS = 1024

# After how many new objects the collector looks at the youngest, at the next, at all.
_RARELY = (100_000, 50, 1000)


class Standing(Enum):
    """What the index can say of a file that was found."""

    NEW = "there was none of that name"
    CHANGED = "it is not the one that was hashed; it is forgotten"
    YOUNG = "it is, as far as that can be told so soon"
    SETTLED = "it is"


class _Folder:
    """A folder, and the numbers of the files in it."""

    __slots__ = ("files", "parts", "root")

    def __init__(self, root: str, parts: Parts) -> None:
        self.root = root
        self.parts = parts
        self.files: dict[str, int] = {}


class Index:
    """The files, each with a number of its own: its place in every column."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all that follows, but for _seen
        self._folders: dict[Place, _Folder] = {}
        self._above: Counter[Place] = Counter()  # how many folders with files are below each
        self._names: list[str] = []
        self._places: list[_Folder] = []
        self._identities = tuple(array(kind) for kind in "QQQqq")
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
        number = self._number(Place(root, parts))
        if number is None:
            return Standing.NEW
        if any(
            column[number] != part for column, part in zip(self._identities, identity, strict=True)
        ):
            with self._lock:
                self._drop(number)
            return Standing.CHANGED
        self._seen[number] = 1
        return Standing.SETTLED if self._settled[number] else Standing.YOUNG

    def learn(self, place: Place, hashed: Hashed) -> None:
        """Know what a file was when it was hashed."""
        with self._lock:
            self._forget(place)
            self._add(place, hashed)

    def forget(self, place: Place) -> None:
        """Know nothing of a file."""
        with self._lock:
            self._forget(place)

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

    def entry(self, digest: Digest) -> Entry:
        """The entry of a digest; without a name if it lies nowhere."""
        places = self.places(digest)
        return Entry(digest, places[0][1].size if places else 0, _names(places))

    def states(self, digest: Digest) -> bytes:
        """The states of a file's chain; none if there are none."""
        with self._lock:
            return next(filter(None, map(self._states.get, self._numbers(digest))), b"")

    # Under the lock.

    def _number(self, place: Place) -> int | None:
        root, parts = place
        folder = self._folders.get(Place(root, parts[:-1]))
        return folder.files.get(parts[-1]) if folder and parts else None

    def _identity(self, number: int) -> Identity:
        return Identity._make([column[number] for column in self._identities])

    def _forget(self, place: Place) -> None:
        number = self._number(place)
        if number is not None:
            self._drop(number)

    def _add(self, place: Place, hashed: Hashed) -> None:
        number = self._free.pop() if self._free else self._grow()
        key = Place(place.root, place.parts[:-1])
        folder = self._folders.get(key)
        if folder is None:
            folder = self._folders[key] = _Folder(*key)
            self._above.update(_above(key))
        name = place.parts[-1]
        folder.files[name] = number
        self._names[number], self._places[number] = name, folder
        for column, part in zip(self._identities, hashed.identity, strict=True):
            column[number] = part
        self._digests[20 * number : 20 * number + 20] = hashed.digest
        self._settled[number], self._seen[number] = hashed.settled, 1
        if hashed.states:
            self._states[number] = hashed.states
        self._link(number)
        self._changed.add(hashed.digest)

    def _grow(self) -> int:
        """A number that was none yet."""
        number = len(self._names)
        self._names.append("")
        self._places.append(_NOWHERE)
        for column in (*self._identities, self._next, self._before):
            column.append(0)
        self._digests += bytes(Digest.SIZE)
        self._settled.append(0)
        self._seen.append(0)
        if number == len(self._heads):
            self._heads = array("I", bytes(8 * number))
            for each in range(number):
                if self._places[each] is not _NOWHERE:
                    self._link(each)
        return number

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
        self._changed.add(Digest(self._digest(number)))
        before, after = self._before[number], self._next[number]
        if before:
            self._next[before - 1] = after
        else:
            self._heads[self._bucket(self._digest(number))] = after
        if after:
            self._before[after - 1] = before
        self._names[number], self._places[number] = "", _NOWHERE
        self._states.pop(number, None)
        self._free.append(number)

    def _link(self, number: int) -> None:
        bucket = self._bucket(self._digest(number))
        after = self._heads[bucket]
        self._heads[bucket] = number + 1
        self._next[number], self._before[number] = after, 0
        if after:
            self._before[after - 1] = number + 1

    def _numbers(self, digest: bytes) -> Iterator[int]:
        link = self._heads[self._bucket(digest)]
        while link:
            if self._digest(link - 1) == digest:
                yield link - 1
            link = self._next[link - 1]

    def _digest(self, number: int) -> bytes:
        return bytes(self._digests[20 * number : 20 * number + 20])

    def _bucket(self, digest: bytes) -> int:
        return int.from_bytes(digest[:8], "big") % len(self._heads)


_NOWHERE = _Folder("", ())


def _above(place: Place) -> list[Place]:
    """The folders that it is in, up to the shared one."""
    return [Place(place.root, place.parts[:depth]) for depth in range(len(place.parts))]


def _is_below(folder: _Folder, places: set[Place]) -> bool:
    """Whether a folder is one of these places, or below one."""
    place = Place(folder.root, folder.parts)
    return any(each in places for each in (place, *_above(place)))


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


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Make many objects, and do not spend half of the time on looking at all for garbage."""
    before = gc.get_threshold()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
