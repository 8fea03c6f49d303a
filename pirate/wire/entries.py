"""Entries as they are on the wire: checked once, and made into objects only when asked for."""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Self, overload

from pirate.errors import ProtocolError
from pirate.model import Digest, Entry
from pirate.wire.fields import NAME_LIMIT, NAMES_LIMIT, EntryCodec, Reader

# Where the number of names stands, and the first of them.
_NAMES = Digest.SIZE + 8
_FIRST_NAME = _NAMES + 2
_HEAD = struct.Struct(">20sQH")
_HEAD_OF_ONE = struct.Struct(">20sQHH")
_NO_SIZE = bytes(8)

RUN_LIMIT = 0xFFFF


class Run(Sequence[Entry]):
    """Some entries in one bytes object: 4 bytes an entry more than they are on the wire.

    An entry without names is none: it says that there is none of that digest any more.
    """

    __slots__ = ("_ends", "_size", "data")

    def __init__(self, data: bytes = b"", ends: "array[int] | None" = None) -> None:
        """``ends`` tells where in ``data`` each entry ends; they are right already."""
        self.data = data
        self._ends = array("I") if ends is None else ends
        self._size: int | None = None

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Write entries; ValueError if one does not fit."""
        if isinstance(entries, cls):
            return entries
        data, ends = bytearray(), array("I")
        for entry in entries:
            data += _CODEC.encode(entry) if entry.names else encode_gone(entry.digest)
            ends.append(len(data))
        return cls(bytes(data), ends)

    @classmethod
    def packed(cls, encoded: Sequence[bytes]) -> Self:
        """Of entries as they are on the wire."""
        return cls(b"".join(encoded), array("I", accumulate(map(len, encoded))))

    @classmethod
    def joined(cls, runs: Iterable["Run"]) -> Self:
        """Several runs as one."""
        data, ends = bytearray(), array("I")
        for run in runs:
            run.copy(0, len(run), data, ends)
        return cls(bytes(data), ends)

    def copy(self, first: int, stop: int, data: bytearray, ends: "array[int]") -> None:
        """Append the entries from ``first`` to before ``stop`` to another run's parts."""
        start = self._start(first)
        shift = len(data) - start
        data += self.data[start : self._start(stop)]
        some = self._ends[first:stop]
        ends.extend(array("I", [end + shift for end in some]) if shift else some)

    def part(self, first: int, stop: int) -> "Run":
        """The entries from ``first`` to before ``stop``."""
        if first == 0 and stop >= len(self):
            return self
        data, ends = bytearray(), array("I")
        self.copy(first, min(stop, len(self)), data, ends)
        return Run(bytes(data), ends)

    def parts(self, limit: int) -> "Iterator[Run]":
        """The entries in runs of about equal length, of at most ``limit`` bytes or one entry."""
        count = max(1, -(-len(self.data) // limit))
        length = -(-len(self.data) // count)
        first = 0
        while first < len(self):
            stop = bisect_right(self._ends, self._start(first) + length, first)
            yield self.part(first, max(first + 1, stop))
            first = max(first + 1, stop)

    def digest(self, index: int) -> bytes:
        """The digest of one entry."""
        start = self._start(index)
        return self.data[start : start + Digest.SIZE]

    def encoded(self, index: int) -> bytes:
        """One entry as it is on the wire."""
        return self.data[self._start(index) : self._ends[index]]

    def get(self, digest: bytes) -> bytes | None:
        """The entry of a digest as it is on the wire, if there is one, and if they ascend."""
        index = self.above(digest) - 1
        return self.encoded(index) if index >= 0 and self.digest(index) == digest else None

    def above(self, digest: bytes, first: int = 0) -> int:
        """Where the entries with greater digests begin, if they ascend."""
        data, ends, stop = self.data, self._ends, len(self._ends)
        while first < stop:
            middle = (first + stop) // 2
            start = ends[middle - 1] if middle else 0
            if data[start : start + Digest.SIZE] <= digest:
                first = middle + 1
            else:
                stop = middle
        return first

    def least(self, digest: bytes, first: int = 0) -> int:
        """Where the entries with this digest or greater ones begin, if they ascend."""
        index = self.above(digest, first)
        return index - (index > first and self.digest(index - 1) == digest)

    def ascends(self, after: bytes) -> bool:
        """Whether every digest is greater than the one before it, and the first than ``after``."""
        return all(one < other for one, other in pairwise((after, *self.digests())))

    def having(self, text: bytes) -> Iterator[int]:
        """The entries with these bytes anywhere in them: none is made to look for them."""
        at = self.data.find(text)
        while 0 <= at < len(self.data):
            index = bisect_right(self._ends, at)
            yield index
            at = self.data.find(text, self._ends[index])

    def names(self, index: int) -> list[str]:
        """The names of one entry."""
        at = self._start(index) + _NAMES
        count = self.data[at] << 8 | self.data[at + 1]
        return _names(self.data, at + 2, count)

    def digests(self) -> Iterator[bytes]:
        """The digests of all entries."""
        start = 0
        for end in self._ends:
            yield self.data[start : start + Digest.SIZE]
            start = end

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """The digest of each entry, and the entry as it is on the wire."""
        start = 0
        for end in self._ends:
            yield self.data[start : start + Digest.SIZE], self.data[start:end]
            start = end

    def sizes(self) -> int:
        """The sum of the sizes, reckoned once."""
        if self._size is None:
            self._size = start = 0
            for end in self._ends:
                self._size += int.from_bytes(self.data[start + Digest.SIZE : start + _NAMES], "big")
                start = end
        return self._size

    def raw(self) -> Iterator[tuple[bytes, int, list[str]]]:
        """Digest, size and names of every entry, for those who look at a million."""
        data, start = self.data, 0
        for end in self._ends:
            digest, size, count = _HEAD.unpack_from(data, start)
            if count == 1:
                yield digest, size, [data[start + _FIRST_NAME + 2 : end].decode()]
            else:
                yield digest, size, _names(data, start + _FIRST_NAME, count)
            start = end

    @property
    def gone(self) -> bool:
        """Whether there is one that says that a file is gone."""
        data, start = self.data, 0
        for end in self._ends:
            if not (data[start + _NAMES] or data[start + _NAMES + 1]):
                return True
            start = end
        return False

    def _start(self, index: int) -> int:
        return self._ends[index - 1] if index else 0

    def _at(self, index: int) -> Entry:
        start = self._start(index)
        digest, size, count = _HEAD.unpack_from(self.data, start)
        return Entry(Digest(digest), size, tuple(_names(self.data, start + _FIRST_NAME, count)))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        places = range(len(self))[index]
        if isinstance(places, range):
            return tuple(map(self._at, places))
        return self._at(places)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Run):
            return self.data == other.data
        return tuple(self) == other

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"Run{tuple(self)}"


class RunCodec:
    """At most ``RUN_LIMIT`` entries behind a u16 that counts them."""

    spec = f"many({RUN_LIMIT}) of entry"

    def encode(self, value: Iterable[Entry]) -> bytes:
        """Write the entries; ValueError if there are too many."""
        run = Run.of(value)
        if len(run) > RUN_LIMIT:
            raise ValueError(f"{len(run)} items, more than {RUN_LIMIT}")
        return len(run).to_bytes(2, "big") + run.data

    def decode(self, reader: Reader) -> Run:
        """Read the entries: all is checked, nothing is made of it yet."""
        count = reader.uint(2)
        ends = _measured(reader.rest(), count)
        return Run(reader.take(ends[-1] if ends else 0), ends)


def encoded(digest: bytes, size: int, names: Sequence[str]) -> bytes:
    """An entry as it is on the wire, if its names keep to the limits; without any it is gone."""
    if len(names) == 1:  # nearly all
        text = names[0].encode()
        return _HEAD_OF_ONE.pack(digest, size, 1, len(text)) + text
    data = _HEAD.pack(digest, size, len(names))
    for name in names:
        text = name.encode()
        data += len(text).to_bytes(2, "big") + text
    return data


def encoded_all(path: str, files: Iterable[tuple[str, bytes, int]]) -> list[bytes]:
    """Entries of files below one path, by name, digest and size, each as if it had no other."""
    pack = _HEAD_OF_ONE.pack
    entries = []
    for last, digest, size in files:
        name = path + last
        if not name.isascii() or len(name) > NAME_LIMIT:
            name = name_of(path, last)
        text = name.encode()
        entries.append(pack(digest, size, 1, len(text)) + text)
    return entries


def name_of(path: str, last: str) -> str:
    """A path below a share, with the slash behind its folders, and what it ends with, as text.

    What is not UTF-8 becomes U+FFFD, what is too long loses its folders.
    """
    text = path + last
    if text.isascii() and len(text) <= NAME_LIMIT:
        return text
    for text in (path + last, last):
        name = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if len(name.encode()) <= NAME_LIMIT:
            return name
    raise AssertionError("a file name has at most 255 bytes")


def encode_gone(digest: bytes) -> bytes:
    """How a run says that there is no entry of that digest any more."""
    return digest + _NO_SIZE + b"\0\0"


def is_gone(encoded: bytes) -> bool:
    """Whether one encoded entry says that."""
    return encoded[_NAMES:_FIRST_NAME] == b"\0\0"


def _measured(data: bytes, count: int) -> "array[int]":
    """Where the first ``count`` entries of ``data`` end; ProtocolError if they are none."""
    ends = array("I")
    at = 0
    try:
        for _ in range(count):
            names = data[at + _NAMES] << 8 | data[at + _NAMES + 1]
            if names > NAMES_LIMIT:
                raise ProtocolError(f"{names} items, more than {NAMES_LIMIT}")
            if not names and data[at + Digest.SIZE : at + _NAMES] != _NO_SIZE:
                raise ProtocolError("an entry without a name has a size")
            at += _FIRST_NAME
            for _ in range(names):
                length = data[at] << 8 | data[at + 1]
                if length > NAME_LIMIT:
                    raise ProtocolError(f"a text of {length} bytes, more than {NAME_LIMIT}")
                at += 2 + length
                data[at - length : at].decode()
            ends.append(at)
    except UnicodeDecodeError as error:
        raise ProtocolError("a text is not UTF-8") from error
    except IndexError:
        at = len(data) + 1
    if at > len(data):
        raise ProtocolError(f"a body that has {len(data)} bytes of entries ends inside a field")
    return ends


def _names(data: bytes, at: int, count: int) -> list[str]:
    names = []
    for _ in range(count):
        length = data[at] << 8 | data[at + 1]
        at += 2 + length
        names.append(data[at - length : at].decode())
    return names


_CODEC = EntryCodec()

entries = Annotated[Sequence[Entry], RunCodec()]
