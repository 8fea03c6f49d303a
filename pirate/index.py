"""What the library knows of each of its files, in columns: about 250 bytes a file and its name.

One thread writes, any thread may read: a lock guards the columns, held for few files at a time.
"""

import gc
import struct
import threading
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import islice

from pirate.disk.hashing import Hashed
from pirate.disk.tree import Identity, Parts, Place
from pirate.model import Digest
from pirate.wire.entries import encoded, name_of
from pirate.wire.fields import NAMES_LIMIT

# No more places of one file are looked at when it is opened.
MOST_PLACES = 64

_FEWEST_BUCKETS = 1024
_BUCKETS_GROW = 4  # times as many: to find all their buckets anew takes long

# For so many files at a time the lock is held: 1 ms.
_AT_ONCE = 250

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

    def learn(self, files: Iterable[tuple[Place, Hashed]]) -> None:
        """Know what files were when they were hashed; quicker if those of a folder are in a row."""
        left = iter(files)
        while some := list(islice(left, _AT_ONCE)):
            with self._lock:
                self._learn(some)

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

    def entries(self, digests: Iterable[bytes]) -> Iterator[bytes]:
        """The entries of digests as they are on the wire; of one that lies nowhere, that."""
        left = iter(digests)
        while some := list(islice(left, _AT_ONCE)):
            with self._lock:
                entries = [self._entry(digest) for digest in some]
            yield from entries

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

    def _entry(self, digest: bytes) -> bytes:
        numbers = self._numbers(digest)
        names = [name_of(self._places[number].path, self._names[number]) for number in numbers]
        if len(names) > 1:
            names = sorted(set(names))[:NAMES_LIMIT]
        size = _SIZE.unpack_from(self._identities, numbers[0] * _IDENTITY.size)[0] if numbers else 0
        return encoded(digest, size, names)

    def _enter(self, place: Place) -> _Folder:
        folder = self._folders[place] = _Folder(*place)
        self._above.update(_above(place))
        return folder

    def _learn(self, some: Iterable[tuple[Place, Hashed]]) -> None:
        folder: _Folder | None = None
        first = len(self._names)
        new: list[Hashed] = []
        for (root, parts), hashed in some:
            above, name = parts[:-1], parts[-1]
            if not folder or folder.parts != above or folder.root != root:
                folder = self._folders.get((root, above)) or self._enter(Place(root, above))
            number = folder.files.get(name)
            if number is None and not self._free:
                folder.files[name] = len(self._names)
                self._names.append(name)
                self._places.append(folder)
                new.append(hashed)
            elif number is not None and number >= first:
                new[number - first] = hashed
            else:
                self._replace(folder, name, hashed)
        self._append(new)

    def _replace(self, folder: _Folder, name: str, hashed: Hashed) -> None:
        """Fill the number of a file anew, or one that was given back."""
        number = folder.files.get(name)
        if number is None:
            number = folder.files[name] = self._free.pop()
            self._names[number], self._places[number] = name, folder
        else:
            self._unlink(number)
        _IDENTITY.pack_into(self._identities, number * _IDENTITY.size, *hashed.identity)
        self._digests[20 * number : 20 * number + 20] = hashed.digest
        self._settled[number], self._seen[number] = hashed.settled, 1
        self._note(number, hashed)
        self._link([number])

    def _append(self, new: list[Hashed]) -> None:
        """Fill the numbers behind those that were filled before."""
        first, count = len(self._settled), len(new)
        self._identities += b"".join([_IDENTITY.pack(*hashed.identity) for hashed in new])
        self._digests += b"".join([hashed.digest for hashed in new])
        self._settled += bytes([hashed.settled for hashed in new])
        self._seen += b"\1" * count
        for links in (self._next, self._before):
            links.frombytes(bytes(count * links.itemsize))
        for number, hashed in enumerate(new, first):
            self._note(number, hashed)
        if first + count > len(self._heads):
            self._heads = array("I", bytes(4 * _BUCKETS_GROW * (first + count)))
            self._link(number for number in range(first) if self._names[number])
        self._link(range(first, first + count))

    def _note(self, number: int, hashed: Hashed) -> None:
        self._changed.add(hashed.digest)
        if hashed.states:
            self._states[number] = hashed.states

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

    def _link(self, numbers: Iterable[int]) -> None:
        heads, links, before, digests = self._heads, self._next, self._before, self._digests
        for number in numbers:
            (first,) = _BUCKET.unpack_from(digests, 20 * number)
            bucket = first % len(heads)
            after = heads[bucket]
            heads[bucket] = number + 1
            links[number], before[number] = after, 0
            if after:
                before[after - 1] = number + 1

    def _numbers(self, digest: bytes) -> list[int]:
        numbers = []
        link = self._heads[self._bucket(digest)]
        while link:
            if self._digests[20 * link - 20 : 20 * link] == digest:
                numbers.append(link - 1)
            link = self._next[link - 1]
        return numbers

    def _digest(self, number: int) -> Digest:
        return Digest(bytes(self._digests[20 * number : 20 * number + 20]))

    def _bucket(self, digest: bytes) -> int:
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
