"""Small files that are here and proven, on their way to their names: a batch at a time.

Whoever brings them writes them; then one thread has all that has gathered written to the disk,
gives each its name, and has the folders written. So a batch costs a few waits for the disk, and
the next one gathers meanwhile.
"""

import contextlib
import os
import resource
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pirate.disk.flush import flush
from pirate.disk.partfile import PartFile
from pirate.disk.place import Parts
from pirate.errors import LocalIOError, PirateError, translated
from pirate.fetch.target import Folder, Target, settle
from pirate.fetch.terms import Received

# What may gather, in files and in bytes, until whoever brings more has to wait. Each file costs a
# descriptor, for its lock, and there is a second batch that is being published.
MOST_FILES = 256
MOST_BYTES = 16 * 1024 * 1024

# A batch that is not full is given so many seconds to grow.
GATHER_SECONDS = 0.05

# Folders that are kept open although no file of theirs is on its way.
_KEPT_FOLDERS = 32


def most_files() -> int:
    """How many files a batch may have: fewer where descriptors are scarce."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_FILES if soft == resource.RLIM_INFINITY else max(8, min(MOST_FILES, soft // 4))


class Folders:
    """The folders that files end in, each opened once while files come into it.

    Safe to use from any thread.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()  # guards all below; held while a folder is opened
        self._open: OrderedDict[Parts, Folder] = OrderedDict()
        self._users: dict[Parts, int] = {}
        self._above: set[str] = set()  # folders that hold one that was made, and are not synced

    def take(self, parts: Parts) -> Folder:
        """The folder ``parts`` below the root, until it is given back. Raises LocalIOError."""
        with self._lock:
            folder = self._open.get(parts)
            if folder is None:
                folder = self._open[parts] = Folder(self._root, parts)
                self._above |= folder.above
            self._users[parts] = self._users.get(parts, 0) + 1
            return folder

    def give_back(self, parts: Parts) -> None:
        """One user less."""
        with self._lock:
            self._users[parts] -= 1
            if not self._users[parts]:
                del self._users[parts]
                self._open.move_to_end(parts)
                self._close(_KEPT_FOLDERS)

    def settle(self) -> None:
        """Have every folder that was made on the disk, each holder synced once for all in it.

        Raises LocalIOError.
        """
        with self._lock:
            above, self._above = self._above, set()
        try:
            settle(above)
        except LocalIOError:
            with self._lock:
                self._above |= above
            raise

    def close(self) -> None:
        """Close all that nobody uses."""
        with self._lock:
            self._close(0)
        with contextlib.suppress(LocalIOError):  # nothing was told of what is in them
            self.settle()

    def _close(self, kept: int) -> None:
        idle = [parts for parts in self._open if parts not in self._users]
        # Those inside others are removed before them, if nothing has come into them.
        for parts in sorted(idle[: max(0, len(idle) - kept)], key=len, reverse=True):
            self._open.pop(parts).close()


class Landed(NamedTuple):
    """A file that is written and proven: its number, where it goes, and what it has cost."""

    number: int
    parts: Parts
    target: Target
    part: PartFile
    received: Received


class Named(NamedTuple):
    """What has become of it."""

    number: int
    path: str
    received: Received
    error: PirateError | None


class Batch:
    """Gathers what has landed. Many threads ``put``, one publishes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._changed = threading.Condition(self._lock)
        self._most = most_files()
        self._landed: list[Landed] = []
        self._bytes = 0
        self._closed = False
        self._woken = False

    def room(self) -> bool:
        """Wait until there is some; False if it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._full)
            return not self._closed

    def put(self, landed: Landed) -> None:
        """One more."""
        with self._changed:
            self._landed.append(landed)
            self._bytes += landed.received.size or 0
            if len(self._landed) == 1 or self._full:
                self._changed.notify_all()

    def wake(self) -> None:
        """Something else has happened that whoever takes wants to know."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, seconds: float) -> list[Landed]:
        """What has gathered; nothing if nothing has after so many seconds, or at a ``wake``."""
        with self._changed:
            self._changed.wait_for(lambda: self._landed or self._closed or self._woken, seconds)
            self._woken = False
            if self._landed:
                self._changed.wait_for(lambda: self._closed or self._full, GATHER_SECONDS)
            taken, self._landed, self._bytes = self._landed, [], 0
            self._changed.notify_all()
            return taken

    @property
    def _full(self) -> bool:
        return len(self._landed) >= self._most or self._bytes >= MOST_BYTES


def publish(batch: Sequence[Landed], folders: Folders) -> Iterator[Named]:
    """Give every file of a batch its name, durably; yields each when all are safe."""
    named: list[Named] = []
    with contextlib.ExitStack() as stack:
        for landed in batch:
            stack.callback(let_go, landed, folders)
        try:
            flush(landed.part.fileno() for landed in batch)
        except LocalIOError as problem:
            named = [_told(landed, problem) for landed in batch]
        else:
            errors = [_name(landed) for landed in batch]
            above = _settle(folders)
            synced = {folder: _sync(folder) for folder in {each.target.folder for each in batch}}
            named = [
                _told(landed, error or synced[landed.target.folder] or above)
                for landed, error in zip(batch, errors, strict=True)
            ]
    yield from named


def _name(landed: Landed) -> PirateError | None:
    try:
        landed.target.give_name(landed.part)
    except PirateError as error:
        return error
    return None


def _sync(folder: int) -> LocalIOError | None:
    try:
        with translated("cannot write to the folder"):
            os.fsync(folder)
    except LocalIOError as error:
        return error
    return None


def _settle(folders: Folders) -> LocalIOError | None:
    try:
        folders.settle()
    except LocalIOError as error:
        return error
    return None


def _told(landed: Landed, error: PirateError | None) -> Named:
    return Named(landed.number, landed.target.path, landed.received, error)


def let_go(landed: Landed, folders: Folders) -> None:
    """Leave nothing of what did not get its name: it is small, and fetched again."""
    landed.part.drop()
    folders.give_back(landed.parts)
