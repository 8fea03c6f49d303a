"""The state folder: small files that outlive a process. Nobody fails for want of it."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from typing import IO

from pirate.scope import Stop

log = logging.getLogger(__name__)

# Others test a lock by taking it for some microseconds, which is no reason to be refused.
_LOCK_RETRY_SECONDS = 0.002

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class State:
    """The small files of one user, below a folder that is made when the first is written.

    Where the folder cannot be had, what is asked of it was never there and what is told is
    forgotten; the log says so once. Several processes may use it, and any of its content may
    be garbage.
    """

    def __init__(self, path: str, *, level: int = logging.INFO) -> None:
        """``path`` may be empty: nothing is kept. ``level`` is that of the one line of log."""
        self._path = path
        self._level = level

    def read(self, name: str, limit: int) -> bytes:
        """The first ``limit`` bytes of a file; none if it is not there."""
        with _Trying(self.note), self._folder() as folder, self._open(folder, name) as file:
            return file.read(limit)
        return b""

    def modified(self, name: str) -> float:
        """When a file was said to hold, in seconds since 1970; 0 if it is not there."""
        with _Trying(self.note), self._folder() as folder:
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
        return 0.0

    def write(self, name: str, data: bytes, modified: float | None = None) -> None:
        """Replace a file as one step, and say since when it holds if it is not now."""
        with _Trying(self.note), self._folder(make=True) as folder:
            scratch = f"{name}.{os.getpid()}.new"
            try:
                with self._open(folder, scratch, "wb", _NEW) as file:
                    file.write(data)
                    file.flush()
                    if modified is not None:
                        os.utime(file.fileno(), (modified, modified))
                os.rename(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(scratch, dir_fd=folder)
                raise

    def touch(self, name: str, modified: float) -> None:
        """Say that a file held still at that time."""
        with _Trying(self.note), self._folder() as folder:
            os.utime(name, (modified, modified), dir_fd=folder, follow_symlinks=False)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with _Trying(self.note), self._folder() as folder:
            os.unlink(name, dir_fd=folder)

    def place(self, name: str) -> str:
        """The path of a file for a library that opens it itself, made if it is not there.

        Empty if it cannot be had.
        """
        if not self._path:
            return ""
        with _Trying(self.note), self._folder(make=True) as folder:
            with contextlib.suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o600, dir_fd=folder))
            return os.path.join(self._path, name)
        return ""

    def names(self) -> list[str]:
        """The names of all files."""
        with _Trying(self.note), self._folder() as folder:
            return os.listdir(folder)
        return []

    def lock(self, name: str) -> IO[bytes] | None:
        """Open a file, made if it is not there, and lock it until it is closed.

        BlockingIOError if somebody else has it locked; None if it cannot be had at all.
        """
        with _Trying(self.note), self._folder(make=True) as folder:
            file = self._open(folder, name, "r+b", os.O_RDWR | os.O_CREAT)
            try:
                _lock(file)
            except BaseException:
                file.close()
                raise
            return file
        return None

    def locked(self, name: str) -> bool:
        """Whether a process that lives has locked a file."""
        with _Trying(self.note), self._folder() as folder, self._open(folder, name) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextlib.contextmanager
    def _folder(self, *, make: bool = False) -> Iterator[int]:
        if make:
            try:
                os.makedirs(self._path, mode=0o700, exist_ok=True)
            except FileNotFoundError:
                self.note("no folder can be there")
                raise
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield folder
        finally:
            os.close(folder)

    @staticmethod
    def _open(folder: int, name: str, mode: str = "rb", flags: int = os.O_RDONLY) -> IO[bytes]:
        """Open a file of ours; never through a link, and without waiting for a pipe's end."""
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        return open(name, mode, opener=lambda path, _: os.open(path, flags, 0o600, dir_fd=folder))

    def note(self, reason: str) -> None:
        """Log, once, why nothing is kept."""
        log.log(self._level, "nothing is remembered in --state %r: %s", self._path, reason)
        self._level = logging.DEBUG


class _Trying:
    """Do without what cannot be had. That something is not there, or locked, is no trouble."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> bool:
        match error:
            case FileNotFoundError():
                return True
            case BlockingIOError():
                return False
            case OSError() | ValueError():  # the latter for a path that no system has
                self._note((getattr(error, "strerror", "") or str(error)).lower())
                return True
            case _:
                return False


def _lock(file: IO[bytes]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        Stop().wait(_LOCK_RETRY_SECONDS)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
