"""The hash cache: what files had when they were hashed, so that they are not read again.

It is never an authority: a row only saves reading, and whoever serves a file still looks at its
identity. So anything may happen to the cache at any time, and costs time at worst.
"""

import contextlib
import hashlib
import logging
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator, Sequence

from pirate.chain import LEAST_SEGMENT, MOST_LINKS, STATE_SIZE, segments
from pirate.disk import sha1
from pirate.disk.hashing import Hashed, settled
from pirate.disk.state import State
from pirate.disk.tree import Found, Identity
from pirate.model import Digest
from pirate.scope import Stop

log = logging.getLogger(__name__)

NAME = "hashes.db"

# What is in a file of another version is not looked at.
VERSION = 1

# Rows that no file had for so long are dropped; that one has is noted no more often.
KEPT_DAYS = 90
NOTED_DAYS = 30

# How long another process that has the cache locked is waited for, in seconds.
READ_PATIENCE = 1.0
WRITE_PATIENCE = 0.2

# A damaged tree of pages may take for ever to walk.
LONGEST_SECONDS = 30.0
_STEPS = 100_000

# Rows a query, and rows that wait for a cache that cannot be written.
_QUERY = 500
_WAITING = 200_000

_DAY = 86_400
_ROW = struct.Struct(">QqqII20s")
_KEY = struct.Struct(">QQ")
_CHECK = 8
_LONGEST_ROW = _ROW.size + MOST_LINKS * STATE_SIZE + _CHECK

_SCHEMA = (
    "create table if not exists files (device integer, inode integer, seen integer, row blob,"
    " primary key (device, inode)) without rowid"
)
_FIND = "select inode, seen, row from files where device = ? and inode in ({})"
_KEEP = "insert or replace into files values (?, ?, ?, ?)"

# No cache of ours, or not any more: it is set aside. Everything else may pass.
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,  # as when the table is not there
    sqlite3.SQLITE_TOOBIG,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_Work = Callable[[sqlite3.Connection], None]


class HashCache:
    """The cache of one user, in the state folder. Several processes may use it at once.

    It is opened for each use: nothing is held that could be removed, replaced or locked.
    """

    def __init__(self, state: State, *, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock
        self._waiting: list[tuple[int, int, int, bytes]] = []

    def find(
        self, files: Sequence[Found], stop: Stop, generation: Callable[[int], int] = lambda _: 0
    ) -> list[Hashed | None]:
        """What the files had when they were hashed; None for those that have to be read.

        ``generation`` gives that of the file at an index, which it has to open for that.
        """
        known: list[Hashed | None] = [None] * len(files)
        since = self._today() - NOTED_DAYS

        def look(connection: sqlite3.Connection) -> None:
            for device, inodes in _queries(files):
                if stop.is_set:
                    return
                query = _FIND.format(",".join("?" * len(inodes)))
                for inode, seen, row in connection.execute(query, (_signed(device), *inodes)):
                    noted = isinstance(seen, int) and seen >= since
                    for index in inodes.get(inode, ()):
                        known[index] = self._match(
                            files[index], row, generation, index, noted=noted
                        )

        if files:
            self._use(look, READ_PATIENCE)
        return known

    def keep(self, hashed: Hashed, label: int = 0) -> None:
        """Have ``flush`` write a row, if the file is settled."""
        if hashed.settled and len(self._waiting) < _WAITING:
            with contextlib.suppress(struct.error):  # a time after 2262
                row = _row(hashed, label)
                device, inode = hashed.identity[:2]
                self._waiting.append((_signed(device), _signed(inode), self._today(), row))

    def flush(self) -> None:
        """Write what is to be kept; if that cannot be now, it waits for the next time."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("begin immediate")
            connection.executemany(_KEEP, self._waiting)
            connection.execute("commit")
            self._waiting = []

        if self._waiting:
            self._use(write, WRITE_PATIENCE)

    def prune(self) -> None:
        """Drop the rows that no file had for long."""
        since = self._today() - KEPT_DAYS
        self._use(
            lambda connection: connection.execute("delete from files where seen < ?", (since,)),
            WRITE_PATIENCE,
        )

    def _match(
        self,
        found: Found,
        row: object,
        generation: Callable[[int], int],
        index: int,
        *,
        noted: bool,
    ) -> Hashed | None:
        known = _known(row, found.identity)
        if known is None:
            return None
        hashed, label = known
        if hashed.identity is not found.identity:
            if not _renamed(found, hashed, label) or generation(index) != hashed.generation:
                return None
            hashed = hashed._replace(identity=found.identity)
            self.keep(hashed, found.label)
        elif not noted or (not label and found.label):  # `hash` was first, and takes no label
            self.keep(hashed, label or found.label)
        return hashed

    def _use(self, work: Callable[[sqlite3.Connection], object], patience: float) -> None:
        """Open the cache for some work; it is done, or it cannot be done now."""
        path = self._state.place(NAME)
        if not path:
            return
        for _ in range(2):
            try:
                with _opened(path, patience) as connection:
                    work(connection)
            except (sqlite3.Error, MemoryError, ValueError) as error:
                if not self._mended(path, error):
                    return
            else:
                return

    def _mended(self, path: str, error: Exception) -> bool:
        """Set a damaged cache aside; False if that is not what is wrong."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            log.debug("the hash cache is locked by another process")
        elif code not in _DAMAGED and not isinstance(error, ValueError):
            self._state.note(f"hashes: {error}")
        else:
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{path}-journal")
                os.replace(path, f"{path}.bad")
            except OSError as trouble:
                self._state.note((trouble.strerror or str(trouble)).lower())
                return False
            log.info("the hash cache is begun anew, %r is set aside: %s", path, error)
            return bool(self._state.place(NAME))
        return False

    def _today(self) -> int:
        return int(self._clock() // _DAY)


@contextlib.contextmanager
def _opened(path: str, patience: float) -> Iterator[sqlite3.Connection]:
    end = time.monotonic() + LONGEST_SECONDS
    with contextlib.closing(
        sqlite3.connect(path, timeout=patience, isolation_level=None)
    ) as connection:
        connection.text_factory = bytes  # whatever garbage comes as text
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * _LONGEST_ROW)
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        # No WAL: its index is mapped, and whoever truncates that file ends us by SIGBUS.
        connection.execute("pragma journal_mode = delete")
        # No fsync either: what a power failure takes away or damages costs time only.
        connection.execute("pragma synchronous = off")
        connection.execute("pragma trusted_schema = off")
        connection.execute("pragma cell_size_check = on")
        version = connection.execute("pragma user_version").fetchone()
        if version == (0,):
            connection.execute("begin immediate")
            connection.execute(_SCHEMA)
            connection.execute(f"pragma user_version = {VERSION}")
            connection.execute("commit")
        elif version != (VERSION,):
            raise ValueError(f"its version is {version}")
        yield connection


def _queries(files: Sequence[Found]) -> Iterator[tuple[int, dict[int, list[int]]]]:
    """The files a query asks for: a device, and under each inode the places in ``files``."""
    devices: dict[int, dict[int, list[int]]] = {}
    for index, found in enumerate(files):
        device, inode = found.identity[:2]
        inodes = devices.setdefault(device, {})
        inodes.setdefault(_signed(inode), []).append(index)
        if len(inodes) == _QUERY:
            yield device, devices.pop(device)
    yield from devices.items()


def _row(hashed: Hashed, label: int) -> bytes:
    device, inode, size, mtime, ctime = hashed.identity
    fields = _ROW.pack(size, mtime, ctime, label, hashed.generation, hashed.digest)
    row = fields + hashed.states
    return row + _check(device, inode, row)


def _known(row: object, identity: Identity) -> tuple[Hashed, int] | None:
    """What a row says of the file that it is about; None if it is not as it was written."""
    if not isinstance(row, bytes) or len(row) < _ROW.size + _CHECK:
        return None
    device, inode = identity[:2]
    if row[-_CHECK:] != _check(device, inode, row[:-_CHECK]):
        return None
    size, mtime, ctime, label, generation, digest = _ROW.unpack_from(row)
    # There are a million of them: none is made again that there is.
    same = (device, inode, size, mtime, ctime) == identity
    known = identity if same else Identity(device, inode, size, mtime, ctime)
    states = row[_ROW.size : -_CHECK]
    if len(states) != _states(size):
        return None
    return Hashed(Digest(digest), states, known, True, generation), label


def _states(size: int) -> int:
    """How many bytes of states a file of this size is hashed to here."""
    if size <= LEAST_SEGMENT or not sha1.available():
        return 0
    return STATE_SIZE * (segments(size) - 1)


def _check(device: int, inode: int, row: bytes) -> bytes:
    return hashlib.blake2b(_KEY.pack(device, inode) + row, digest_size=_CHECK).digest()


def _renamed(found: Found, hashed: Hashed, label: int) -> bool:
    """Whether a new name accounts for a ctime that is not the one in the row.

    docs/decisions/0013-hash-cache.md says what each condition is for.
    """
    identity, before = found.identity, hashed.identity
    return bool(
        identity[:4] == before[:4]
        and identity.ctime > before.ctime
        and settled(identity, time.time_ns())
        and label
        and found.label not in (0, label)
        and hashed.generation
    )


def _signed(number: int) -> int:
    """A number of 64 bits as SQLite has them."""
    return number - (1 << 64) if number >> 63 else number
