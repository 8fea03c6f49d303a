"""Walk shared folders and open what lies in them, never through a symlink.

Every step goes by ``dir_fd`` with O_NOFOLLOW, one component at a time, so nothing that is
renamed or linked meanwhile can lead outside the folder.
"""

import contextlib
import fcntl
import os
import stat
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pirate.errors import LocalIOError

Parts = tuple[str, ...]

PART_SUFFIX = ".pirate-part"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEXT_FOLDER = _FOLDER | os.O_NOFOLLOW
# O_NONBLOCK: a FIFO that took a file's place must not block the thread that opens it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

# FS_IOC_GETVERSION of Linux, _IOR('v', 1, long); what comes is an int.
_GENERATION = 0x80007601 | struct.calcsize("l") << 16

# Deeper folders are left out: each level costs a descriptor while it is walked.
DEEPEST = 64


class Identity(NamedTuple):
    """What tells that a file is still the one whose bytes were read. Times in ns."""

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        """The identity in a stat result."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


class Found(NamedTuple):
    """A regular file of a walk: its path below the root, its identity, and its label."""

    parts: Parts
    identity: Identity
    label: int


Trouble = Callable[[Parts, OSError], None]


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn an OSError in the block into a LocalIOError that says what was tried."""
    try:
        yield
    except OSError as error:
        raise LocalIOError(f"{what}: {(error.strerror or str(error)).lower()}") from error


def shared(name: str) -> bool:
    """Whether a file or folder of this name is shared: not if hidden or unfinished."""
    return not name.startswith(".") and not name.endswith(PART_SUFFIX)


def walk(root: str, trouble: Trouble) -> Iterator[Found]:
    """Every regular file below ``root`` that may be shared.

    What cannot be read, or vanishes meanwhile, is told to ``trouble`` and left out.
    """
    try:
        folder = os.open(root, _FOLDER)
    except OSError as error:
        trouble((), error)
        return
    yield from _walk(folder, (), trouble)


def _walk(folder: int, parts: Parts, trouble: Trouble) -> Iterator[Found]:
    """Walk an open folder, which is closed here."""
    try:
        inode = os.fstat(folder).st_ino
        with os.scandir(folder) as entries:
            names = [entry for entry in entries if shared(entry.name)]
        for entry in names:
            below = (*parts, entry.name)
            try:
                if entry.is_dir(follow_symlinks=False):
                    if len(below) < DEEPEST:
                        deeper = os.open(entry.name, _NEXT_FOLDER, dir_fd=folder)
                        yield from _walk(deeper, below, trouble)
                elif entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    yield Found(below, Identity.of(status), label(inode, entry.name, status))
            except OSError as error:
                trouble(below, error)
    except OSError as error:
        trouble(parts, error)
    finally:
        os.close(folder)


def label(folder: int, name: str, status: os.stat_result) -> int:
    """A number of 32 bits for a file's name in the folder of that inode; 0 if it has several.

    A file that has another label than before has been renamed. It is the same if one of the
    folders above it was.
    """
    return zlib.crc32(b"%d/%s" % (folder, os.fsencode(name))) if status.st_nlink == 1 else 0


def generation(file: int) -> int:
    """What tells an open file from those that had its inode before; 0 if nothing does."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return int.from_bytes(fcntl.ioctl(file, _GENERATION, bytes(8))[:4], sys.byteorder)
    return 0


def open_file(root: str, parts: Parts) -> int:
    """A descriptor of the regular file at ``parts`` below ``root``; OSError if there is none."""
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            deeper = os.open(part, _NEXT_FOLDER, dir_fd=folder)
            os.close(folder)
            folder = deeper
        file = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{'/'.join(parts)} is no regular file any more")
    return file


def generation_of(root: str, parts: Parts) -> int:
    """The generation of the file at ``parts`` below ``root``; 0 if it has none."""
    with contextlib.suppress(OSError):
        file = open_file(root, parts)
        try:
            return generation(file)
        finally:
            os.close(file)
    return 0


def open_folder(root: str, parts: Parts) -> int:
    """A descriptor of the folder at ``parts`` below ``root``; folders that lack are made."""
    os.makedirs(root, exist_ok=True)
    folder = os.open(root, _FOLDER)
    try:
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=folder)
            deeper = os.open(part, _NEXT_FOLDER, dir_fd=folder)
            os.close(folder)
            folder = deeper
    except BaseException:
        os.close(folder)
        raise
    return folder
