"""The growing file: locked, written, and given its final name only when it is whole."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from typing import Self

from pirate.disk.hashing import READ_BYTES, digest_of
from pirate.disk.journal import Journal
from pirate.disk.names import SafeName
from pirate.disk.tree import JOURNAL_SUFFIX, PART_SUFFIX
from pirate.disk.writeback import begin_writing
from pirate.errors import BusyError, ExistsError, LocalIOError, translated
from pirate.model import Digest
from pirate.pages import pages

# What is written at once. With 1 MiB a file system takes single folios of that size, and finding
# and touching them cost 0.5 CPU s a GiB more here; 128 KiB is no better.
WRITE_BYTES = 256 * 1024

# The disk is told to begin whenever so much has been written: the fsync at the end then finds
# little to do (0.12 s a GiB less here).
EARLY_BYTES = 32 * 1024 * 1024

# A range, until it is whole and has its name.
CUT_SUFFIX = f".range{PART_SUFFIX}"

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

# What ``st_blocks`` counts, whatever the file system's own blocks are.
_BLOCK = 512

# A name that keeps changing under us is somebody's attack, not another pirate.
_LOCK_TRIES = 8

_SUFFIXES = (PART_SUFFIX, JOURNAL_SUFFIX, CUT_SUFFIX)

# What a file system without hard links answers to ``link``.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class PartFile:
    """An unfinished download in the folder where it will end, for one thread.

    Its name is the digest's, so whoever gets the same file into this folder finds it again;
    a lock on the file itself keeps two from doing so at once. Every method may raise
    LocalIOError.
    """

    def __init__(self, folder: int, digest: Digest, *, cut: bool = False) -> None:
        """``folder`` is an open descriptor, which stays the caller's. Raises BusyError.

        With ``cut`` it is another file, for what is cut out of the part file.
        """
        self._folder = folder
        self._digest = digest
        self._name = f".{digest}{CUT_SUFFIX if cut else PART_SUFFIX}"
        with translated(f"cannot write {self._name}"):
            self._file = self._lock()
        self._late = 0  # bytes that the disk has not been told to begin with
        self._published = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the lock. The part file stays, unless nothing has come."""
        if os.fstat(self._file).st_size == 0 and not self._published:
            with contextlib.suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder)
        os.close(self._file)

    def fileno(self) -> int:
        """The descriptor, for those who sync many at once."""
        return self._file

    @property
    def room(self) -> int:
        """Bytes that are free where it lies."""
        with translated("cannot tell the free space"):
            status = os.fstatvfs(self._file)
        return status.f_bavail * status.f_frsize

    def pieces(self, offset: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """What is there from ``offset`` on, in order; each view is valid until the next."""
        stop = self.size if stop is None else stop
        buffer = pages(min(READ_BYTES, max(0, stop - offset)))
        with translated("cannot read the part file"):
            while count := os.preadv(self._file, [buffer[: max(0, stop - offset)]], offset):
                offset += count
                yield buffer[:count]

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of ``data``; a short write on a filling disk is followed by its error."""
        with translated("cannot write"):
            self._late += len(data)
            while data:
                count = os.pwrite(self._file, data[:WRITE_BYTES], offset)
                data = data[count:]
                offset += count
        if self._late >= EARLY_BYTES:
            self._late = 0
            begin_writing(self._file)

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill ``view`` with what lies at ``offset``, as far as the file goes."""
        with translated("cannot read the part file"):
            while view and (count := os.preadv(self._file, [view], offset)):
                view = view[count:]
                offset += count

    @property
    def size(self) -> int:
        """Bytes that are there, holes included."""
        return os.fstat(self._file).st_size

    @property
    def allocated(self) -> int:
        """Bytes that it takes on the disk."""
        return os.fstat(self._file).st_blocks * _BLOCK

    def journal(self) -> Journal:
        """The journal of this part file; this one's lock protects it too."""
        return Journal(self._folder, self._digest, os.fstat(self._file).st_ino)

    def reserve(self, size: int, start: int, stop: int) -> None:
        """Make it ``size`` bytes long, and sure of space from ``start`` to ``stop``.

        A disk too full for them says so now. Elsewhere it has holes, which take no space.
        """
        with translated(f"no space for {stop - start} bytes"):
            if start < stop and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file, start, stop - start)
            os.ftruncate(self._file, size)

    def truncate(self, size: int) -> None:
        """Forget what lies behind ``size``."""
        with translated("cannot truncate the part file"):
            os.ftruncate(self._file, size)

    def discard(self) -> None:
        """Give it up, and what its journal says: leaving the block leaves nothing."""
        with self.journal() as journal:
            journal.remove()
        self.truncate(0)

    def drop(self) -> None:
        """Let go of the lock and leave no part file, whatever has come of it.

        Nothing is truncated: a signal may have come right after it got its name.
        """
        if not self._published:
            with contextlib.suppress(OSError):
                named = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
                if os.path.samestat(os.fstat(self._file), named):
                    os.unlink(self._name, dir_fd=self._folder)
        os.close(self._file)

    def publish(self, name: SafeName | str, *, overwrite: bool = False) -> None:
        """Give the file its final name, durably; the caller has verified its digest.

        Raises ExistsError, and changes nothing, if the name is taken and not to be
        overwritten.
        """
        with translated(f"cannot finish {name}"):
            os.fsync(self._file)
        self.name(name, overwrite=overwrite)
        with translated(f"cannot finish {name}"):
            os.fsync(self._folder)

    def name(self, name: SafeName | str, *, overwrite: bool = False) -> None:
        """Give the file its final name, as ``publish`` does, where others sync both.

        Its content has to be on the disk before, and the folder is to be synced after.
        """
        with translated(f"cannot finish {name}"):
            if overwrite:
                os.replace(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            else:
                self._link(name)
            self._published = True

    def _link(self, name: str) -> None:
        """Rename without clobbering: ``link`` fails where ``rename`` would replace."""
        try:
            os.link(
                self._name,
                name,
                src_dir_fd=self._folder,
                dst_dir_fd=self._folder,
                follow_symlinks=False,
            )
        except FileExistsError as error:
            raise ExistsError(f"{name} has come into being meanwhile") from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if exists(self._folder, name):
                raise ExistsError(f"{name} has come into being meanwhile") from error
            os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            os.unlink(self._name, dir_fd=self._folder)

    def _lock(self) -> int:
        """Open and lock the file that the name leads to, also if it is replaced meanwhile."""
        for _ in range(_LOCK_TRIES):
            file = os.open(self._name, _FLAGS, 0o666, dir_fd=self._folder)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._ours(file):
                    return file
            except BlockingIOError:
                os.close(file)
                raise BusyError("another pirate is getting this file into this folder") from None
            except BaseException:
                os.close(file)
                raise
            os.close(file)
        raise OSError("it keeps being replaced")

    def _ours(self, file: int) -> bool:
        """Whether the name still leads to this file, and no other name does.

        A kill between ``link`` and ``unlink`` leaves two names: then this one is let go, so
        that nothing is ever written to a file that has its final name.
        """
        status = os.fstat(file)
        if status.st_nlink > 1:
            os.unlink(self._name, dir_fd=self._folder)
            return False
        try:
            named = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:  # whoever had it has just published it or let it go
            return False
        return os.path.samestat(status, named)


def sweep(folder: int, digest: Digest) -> None:
    """Remove what unfinished downloads have left in a folder where the whole file is now.

    Another process that is at one keeps it. What cannot be removed stays: the file is there.
    """
    with contextlib.suppress(BusyError, LocalIOError):
        if any(exists(folder, f".{digest}{suffix}") for suffix in _SUFFIXES):
            with PartFile(folder, digest) as part, PartFile(folder, digest, cut=True) as cut:
                part.discard()
                cut.truncate(0)


def exists(folder: int, name: str) -> bool:
    """Whether anything, a dangling symlink too, has this name. Raises LocalIOError."""
    with translated(f"cannot use the name {name}"):
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True


def is_folder(folder: int, name: str) -> bool:
    """Whether this name, which is taken, is a folder's. Raises LocalIOError."""
    with translated(f"cannot use the name {name}"):
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def holds(folder: int, name: str, digest: Digest) -> bool:
    """Whether a regular file of this name has this digest. Raises LocalIOError."""
    with translated(f"cannot read {name}"):
        try:
            file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            return False
        try:
            regular = stat.S_ISREG(os.fstat(file).st_mode)
            return regular and digest_of(file) == digest
        finally:
            os.close(file)
