"""The file of the hash cache: SQLite, opened for each use, and set aside if it is damaged."""

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator

from pirate.chain import MOST_LINKS, STATE_SIZE
from pirate.disk.hashrows import LONGEST_BLOCK
from pirate.disk.state import State

log = logging.getLogger(__name__)

Connection = sqlite3.Connection

NAME = "hashes.db"

# What is in a file of another version is not looked at.
VERSION = 2

# A damaged tree of pages may take for ever to walk.
LONGEST_SECONDS = 30.0
_STEPS = 100_000

_LONGEST = MOST_LINKS * STATE_SIZE + LONGEST_BLOCK

_BLOCKS = (
    "create table if not exists blocks (device integer, block integer, seen integer, rows blob,"
    " primary key (device, block))"
)
_CHAINS = (
    "create table if not exists chains (device integer, inode integer, seen integer, states blob,"
    " primary key (device, inode))"
)
# No cache of ours, or not any more: it is set aside. Everything else may pass.
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,  # as when the table is not there
    sqlite3.SQLITE_TOOBIG,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class HashFile:
    """The file, in the state folder. Nothing is held that could be removed, replaced or locked."""

    def __init__(self, state: State) -> None:
        self._state = state

    def use(self, work: Callable[[sqlite3.Connection], object], patience: float) -> None:
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


@contextlib.contextmanager
def _opened(path: str, patience: float) -> Iterator[sqlite3.Connection]:
    end = time.monotonic() + LONGEST_SECONDS
    with contextlib.closing(
        sqlite3.connect(path, timeout=patience, isolation_level=None)
    ) as connection:
        connection.text_factory = bytes  # whatever garbage comes as text
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * _LONGEST)
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
            for table in (_BLOCKS, _CHAINS):
                connection.execute(table)
            connection.execute(f"pragma user_version = {VERSION}")
            connection.execute("commit")
        elif version != (VERSION,):
            raise ValueError(f"its version is {version}")
        yield connection
