"""The hash cache: what files had when they were hashed, so that they are not read again.

It is never an authority: a row only saves reading, and whoever serves a file still looks at its
identity. So anything may happen to the cache at any time, and costs time at worst.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pirate.disk.hashfile import Connection, HashFile
from pirate.disk.hashing import Hashed, settled
from pirate.disk.hashrows import (
    BITS,
    Row,
    block,
    block_of,
    chain,
    packed,
    plain_digest,
    rows_of,
    with_chain,
)
from pirate.disk.place import Identity
from pirate.disk.state import State
from pirate.model import Digest
from pirate.scope import Stop

# Rows that no file had for so long are dropped; that one has is noted no more often.
KEPT_DAYS = 90
NOTED_DAYS = 30

# How long another process that has the cache locked is waited for, in seconds.
READ_PATIENCE = 1.0
WRITE_PATIENCE = 0.2

# Keys a query, and rows that wait for a cache that cannot be written.
_QUERY = 500
_WAITING = 200_000

_DAY = 86_400

_FIND = "select block, seen, rows from blocks where device = ? and block in ({})"
_FIND_CHAIN = "select states from chains where device = ? and inode = ?"
_BEFORE = "select rows from blocks where device = ? and block = ?"
_KEEP = "insert or replace into blocks values (?, ?, ?, ?)"
_KEEP_CHAIN = "insert or replace into chains values (?, ?, ?, ?)"
_PRUNE = ("delete from blocks where seen < ?", "delete from chains where seen < ?")

# What is to be written of a file: device, inode, row, and its chain, empty if it has none.
_Waiting = tuple[int, int, bytes, bytes]


class Known(NamedTuple):
    """What is known of some files, by their places in the question; None for the others.

    ``states`` has those of files that have any.
    """

    digests: list[bytes | None]
    states: dict[int, bytes]

    def hashed(self, at: int, identity: Identity) -> Hashed | None:
        """All of one file."""
        if digest := self.digests[at]:
            return Hashed(Digest(digest), self.states.get(at, b""), identity, True)
        return None


class Asked(NamedTuple):
    """Files that the cache is asked about. What has a function costs something to find out.

    ``label`` and ``generation`` are those of a file by its place in here.
    """

    identities: Sequence[Identity]
    label: Callable[[int], int] = lambda _: 0
    generation: Callable[[int], int] = lambda _: 0


class _Hit(NamedTuple):
    """A row that is about a file, by its place in the question; ``noted`` not long ago."""

    at: int
    row: Row
    noted: bool


class HashCache:
    """The cache of one user, in the state folder. Several processes may use it at once.

    It is opened for each use: nothing is held that could be removed, replaced or locked.
    """

    def __init__(self, state: State, *, clock: Callable[[], float] = time.time) -> None:
        self._file = HashFile(state)
        self._clock = clock
        self._waiting: list[_Waiting] = []

    def find(self, asked: Asked, stop: Stop) -> Known:
        """What the files had when they were hashed, of those that need not be read again."""
        known = Known([None] * len(asked.identities), {})

        def look(connection: Connection) -> None:
            for hit in self._hits(connection, asked, known, stop):
                self._match(connection, asked, known, hit)

        if asked.identities:
            self._file.use(look, READ_PATIENCE)
        return known

    def keep(self, hashed: Hashed, label: int = 0) -> None:
        """Have ``flush`` write a row, if the file is settled."""
        if hashed.settled:
            with contextlib.suppress(struct.error):  # a time after 2262
                row = packed(hashed, label)
                self.keep_row(hashed.identity, row, chain(hashed) if hashed.states else b"")

    def keep_row(self, identity: Identity, row: bytes, chain: bytes = b"") -> None:
        """The same for a row that is there already, and what is to be kept of the chain."""
        if len(self._waiting) < _WAITING:
            self._waiting.append((*identity[:2], row, chain))

    def flush(self) -> None:
        """Write what is to be kept; if that cannot be now, it waits for the next time."""

        def write(connection: Connection) -> None:
            connection.execute("begin immediate")
            connection.executemany(_KEEP, self._blocks(connection))
            connection.executemany(_KEEP_CHAIN, self._chains())
            connection.execute("commit")
            self._waiting = []

        if self._waiting:
            self._file.use(write, WRITE_PATIENCE)

    def prune(self) -> None:
        """Drop the rows that no file had for long."""
        since = self._today() - KEPT_DAYS

        def drop(connection: Connection) -> None:
            for statement in _PRUNE:
                connection.execute(statement, (since,))

        self._file.use(drop, WRITE_PATIENCE)

    def _hits(self, connection: Connection, asked: Asked, known: Known, stop: Stop) -> list[_Hit]:
        """Know the small files that are as they were; the rows of the others."""
        hits: list[_Hit] = []
        identities, digests = asked.identities, known.digests
        since = self._today() - NOTED_DAYS
        for device, numbers in _queries(identities):
            if stop.is_set:
                break
            query = _FIND.format(",".join("?" * len(numbers)))
            for number, seen, data in connection.execute(query, (_signed(device), *numbers)):
                noted = isinstance(seen, int) and seen >= since
                if number not in numbers:  # a damaged one
                    continue
                rows = rows_of(device, number, data)
                for at in numbers[number]:
                    identity = identities[at]
                    if row := rows.get(identity[1]):
                        digest = plain_digest(row, identity) if noted else None
                        if digest:  # nearly all
                            digests[at] = digest
                        else:
                            hits.append(_Hit(at, Row._make(row), noted))
        return hits

    def _blocks(self, connection: Connection) -> Iterator[tuple[int, int, int, bytes]]:
        """The blocks that are to be written, with what is in them already."""
        blocks: dict[tuple[int, int], list[bytes]] = {}
        for device, inode, row, _ in self._waiting:
            blocks.setdefault((device, block_of(inode)), []).append(row)
        today = self._today()
        for (device, number), rows in blocks.items():
            key = _signed(device), number
            before = connection.execute(_BEFORE, key).fetchone() or (None,)
            yield *key, today, block(device, number, rows, *before)

    def _chains(self) -> Iterator[tuple[int, int, int, bytes]]:
        today = self._today()
        for device, inode, _, states in self._waiting:
            if states:
                yield _signed(device), _signed(inode), today, states

    def _match(self, connection: Connection, asked: Asked, known: Known, hit: _Hit) -> None:
        """Know the file that a row is about, if it may be."""
        at, row = hit.at, hit.row
        identity = asked.identities[at]
        hashed = row.hashed(identity)
        if hashed and row.states:
            hashed = with_chain(hashed, _chain(connection, identity))
        if not hashed:
            return
        if hashed.identity is not identity:
            if not _renamed(identity, hashed, (asked.label(at), row.label)):
                return
            if asked.generation(at) != hashed.generation:
                return
            self.keep(hashed._replace(identity=identity), asked.label(at))
        elif not hit.noted or (not row.label and asked.label(at)):  # `hash` takes no label
            self.keep(hashed, row.label or asked.label(at))
        known.digests[at] = hashed.digest
        if hashed.states:
            known.states[at] = hashed.states

    def _today(self) -> int:
        return int(self._clock() // _DAY)


def _queries(identities: Sequence[Identity]) -> Iterator[tuple[int, dict[int, list[int]]]]:
    """The files a query asks for: a device, and for each block their places in the question."""
    devices: dict[int, dict[int, list[int]]] = {}
    device, numbers = -1, {}
    for at, identity in enumerate(identities):
        if identity[0] != device:
            device = identity[0]
            numbers = devices.setdefault(device, {})
        number = identity[1] >> BITS
        if number in numbers:
            numbers[number].append(at)
            continue
        if len(numbers) == _QUERY:
            yield device, numbers
            numbers = devices[device] = {}
        numbers[number] = [at]
    yield from devices.items()


def _chain(connection: Connection, identity: Identity) -> object:
    """What is kept of the chain of a file."""
    key = _signed(identity.device), _signed(identity.inode)
    (states,) = connection.execute(_FIND_CHAIN, key).fetchone() or (None,)
    return states


def _renamed(identity: Identity, hashed: Hashed, labels: tuple[int, int]) -> bool:
    """Whether a new name accounts for a ctime that is not the one in the row.

    docs/decisions/0013-hash-cache.md says what each condition is for.
    """
    now, before = labels
    return bool(
        identity[:4] == hashed.identity[:4]
        and identity.ctime > hashed.identity.ctime
        and settled(identity, time.time_ns())
        and before
        and now not in (0, before)
        and hashed.generation
    )


def _signed(number: int) -> int:
    """A number of 64 bits as SQLite has them."""
    return number - (1 << 64) if number >> 63 else number
