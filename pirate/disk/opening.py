"""Open what lies below a shared folder, or the folder of a download, never through a symlink.

Every step goes by ``dir_fd`` with O_NOFOLLOW, one component at a time, so nothing that is
renamed or linked meanwhile can lead outside the folder.
"""

import contextlib
import os
import stat
from typing import Self

from pirate.disk.place import Parts

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEXT_FOLDER = _FOLDER | os.O_NOFOLLOW
# O_NONBLOCK: a FIFO that took a file's place must not block the thread that opens it.
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_file(root: str, parts: Parts) -> int:
    """A descriptor of the regular file at ``parts`` below ``root``; OSError if there is none."""
    with Opener() as opener:
        return opener.open(root, parts)


class Opener:
    """Opens one file after the other, and goes to the folder of several only once."""

    def __init__(self) -> None:
        self._at: tuple[str, Parts] | None = None
        self._folder = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def open(self, root: str, parts: Parts) -> int:
        """A descriptor of the regular file at ``parts``; OSError if there is none."""
        file = os.open(parts[-1], OPEN_FILE, dir_fd=self.folder(root, parts[:-1]))
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(f"{'/'.join(parts)} is no regular file any more")
        return file

    def folder(self, root: str, parts: Parts) -> int:
        """The descriptor of a folder, good until the next call; OSError if there is none."""
        if self._at != (root, parts):
            self._go(root, parts)
        return self._folder

    def _go(self, root: str, parts: Parts) -> None:
        self._leave()
        self._folder = open_existing(root, parts)
        self._at = root, parts

    def _leave(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
        self._at, self._folder = None, -1


def open_root(root: str) -> int:
    """A descriptor of a folder, which may be a symlink: the user named it; OSError if none."""
    return os.open(root, _FOLDER)


def open_next(folder: int, name: str) -> int:
    """A descriptor of a folder in an open one; OSError if it is a symlink, or none."""
    return os.open(name, _NEXT_FOLDER, dir_fd=folder)


def open_existing(root: str, parts: Parts) -> int:
    """A descriptor of the folder at ``parts`` below ``root``; OSError if there is none."""
    folder = open_root(root)
    for part in parts:
        try:
            deeper = open_next(folder, part)
        finally:
            os.close(folder)
        folder = deeper
    return folder


def sync_folder(path: str) -> None:
    """Have the names that a folder holds on the disk; OSError if that fails.

    One that is gone holds none, and of one that we may not read nobody can say.
    """
    try:
        folder = os.open(path, _FOLDER)
    except (FileNotFoundError, PermissionError):
        return
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_folder(root: str, parts: Parts) -> int:
    """A descriptor of the folder at ``parts`` below ``root``; folders that lack are made."""
    os.makedirs(root, exist_ok=True)
    folder = open_root(root)
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
