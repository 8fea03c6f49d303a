"""What the library knows of each of its files, in columns: about 250 bytes a file and its name.

One thread writes, any thread may read: a lock guards the columns, held for few files at a time.
"""

import gc
import struct
import threading
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise, starmap

from pirate.disk.hashing import Sheet
from pirate.disk.place import Identity, Parts, Place
from pirate.disk.tree import Listing
from pirate.model import Digest
from pirate.wire.catalog import Catalog
from pirate.wire.entries import encoded, encoded_all, name_of
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
_BUCKETS = struct.Struct(">Q12x")

# After how many new objects the collector looks at the youngest, at the next, at all.
_RARELY = (1_000_000, 50, 1000)


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
        self._changed: set[bytes] = set()
        self._fresh: list[bytes] = []  # of those that were appended: entries, as if nobody else
        self._seen = bytearray()  # of the library's thread

    def __len__(self) -> int:
        return len(self._names) - len(self._free)

    # For the thread that scans.

    def begin(self) -> None:
        """Begin a scan: nothing has been seen in it."""
        self._seen = bytearray(len(self._names))

    def meet(self, listing: Listing) -> tuple[Sequence[int], Sequence[int]]:
        """Which of the files that a scan has found are new, and which are to be read again.

        Those are not what was hashed, or that cannot be told yet; what is not, is forgotten.
        """
        folder = self._folders.get(Place(listing.root, listing.parts))
        if not folder:
            return range(len(listing.names)), ()
        new, again = [], []
        for at, (name, identity) in enumerate(zip(listing.names, listing.identities, strict=True)):
            number = folder.files.get(name)
            if number is None:
                new.append(at)
            elif _IDENTITY.unpack_from(self._identities, number * _IDENTITY.size) != identity:
                with self._lock:
                    self._drop(number)
                again.append(at)
            else:
                self._seen[number] = 1
                if not self._settled[number]:
                    again.append(at)
        return new, again

    def learn(self, sheet: Sheet) -> None:
        """Know what files were when they were hashed. Other threads wait for that meanwhile."""
        if not sheet.names:
            return
        key = Place(sheet.root, sheet.parts)
        with self._lock:
            folder = self._folders.get(key) or self._enter(key)
            if self._free or not folder.files.keys().isdisjoint(sheet.names):
                for at, name in enumerate(sheet.names):
                    self._replace(folder, name, sheet, at)
            else:
                self._append(folder, sheet)

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

    def changes(self, before: Catalog) -> list[bytes]:
        """What is no more as it is in the last catalog that was made of this, ascending.

        As entries on the wire; that there is none of a digest is one, too.
        """
        with self._lock:
            fresh, self._fresh = self._fresh, []
            changed, self._changed = self._changed, set()
        fresh.sort()
        digests = [entry[: Digest.SIZE] for entry in fresh]
        changed.update(one for one, other in pairwise(digests) if one == other)
        changed.update(before.having(digests))
        if changed:
            fresh = [entry for entry in fresh if entry[: Digest.SIZE] not in changed]
            fresh += before.unlike([*self._entries(sorted(changed))])
            fresh.sort()
        return fresh

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

    def states(self, digest: Digest) -> bytes:
        """The states of a file's chain; none if there are none."""
        with self._lock:
            return next(filter(None, map(self._states.get, self._numbers(digest))), b"")

    def _entries(self, digests: Iterable[bytes]) -> Iterator[bytes]:
        left = iter(digests)
        while some := list(islice(left, _AT_ONCE)):
            with self._lock:
                entries = [self._entry(digest) for digest in some]
            yield from entries

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

    def _replace(self, folder: _Folder, name: str, sheet: Sheet, at: int) -> None:
        """Know one file that was known, or that takes the number of one that is gone."""
        number = folder.files.get(name)
        if number is not None:
            self._unlink(number)
        elif self._free:
            number = folder.files[name] = self._free.pop()
            self._names[number], self._places[number] = name, folder
        else:
            self._append(folder, sheet.some([at]))
            return
        _IDENTITY.pack_into(self._identities, number * _IDENTITY.size, *sheet.identities[at])
        self._digests[20 * number : 20 * number + 20] = sheet.digests[at]
        self._settled[number], self._seen[number] = sheet.settled[at], 1
        if at in sheet.states:
            self._states[number] = sheet.states[at]
        self._changed.add(sheet.digests[at])
        self._link([number], sheet.digests[at])

    def _append(self, folder: _Folder, sheet: Sheet) -> None:
        """Know files that have no numbers, and give them the next ones: none is free."""
        first, count = len(self._names), len(sheet.names)
        folder.files.update(zip(sheet.names, range(first, first + count), strict=True))
        self._names += sheet.names
        self._places += [folder] * count
        self._identities += b"".join(starmap(_IDENTITY.pack, sheet.identities))
        digests = b"".join(sheet.digests)
        self._digests += digests
        self._settled += sheet.settled
        self._seen += b"\1" * count
        self._states.update((first + at, states) for at, states in sheet.states.items())
        sizes = [identity[2] for identity in sheet.identities]
        self._fresh += encoded_all(folder.path, zip(sheet.names, sheet.digests, sizes, strict=True))
        for links in (self._next, self._before):
            links.frombytes(bytes(count * links.itemsize))
        if first + count > len(self._heads):  # no number is free, so all of them are linked anew
            self._heads = array("I", bytes(4 * _BUCKETS_GROW * (first + count)))
            first, digests = 0, bytes(self._digests)
        self._link(range(first, len(self._names)), digests)

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
        digest = bytes(self._digests[20 * number : 20 * number + 20])
        self._changed.add(digest)
        before, after = self._before[number], self._next[number]
        if before:
            self._next[before - 1] = after
        else:
            self._heads[self._bucket(digest)] = after
        if after:
            self._before[after - 1] = before
        self._states.pop(number, None)

    def _link(self, numbers: Iterable[int], digests: bytes | bytearray) -> None:
        """Have files found by their digests, which come one behind the other."""
        heads, links, before = self._heads, self._next, self._before
        for number, (first,) in zip(numbers, _BUCKETS.iter_unpack(digests), strict=True):
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
