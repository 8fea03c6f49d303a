"""What this process does to one folder, done to a forgetful disk too.

The short form of a power cut: it needs no file system of its own, so it runs everywhere.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from campaigns.disk import Disk

CALLS = (
    *("open", "pwrite", "ftruncate", "posix_fallocate", "fsync"),
    *("link", "unlink", "replace", "rename", "mkdir", "rmdir"),
)


class Recorded:
    """While the ``with`` block runs, calls that change ``folder`` are done to ``disk`` first.

    So after the cut they fail, and the folder keeps what it had.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folders = {folder.stat().st_ino: ""} | {
            (folder / name).stat().st_ino: name
            for name, number in disk.names.items()
            if number in disk.folders
        }
        self._real: dict[str, Callable[..., Any]] = {}
        self._lock = threading.RLock()  # held during each call

    def __enter__(self) -> Self:
        for name in CALLS:
            self._real[name] = getattr(os, name)
            setattr(os, name, self._locked(getattr(self, f"_{name}")))
        return self

    def __exit__(self, *_: object) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)

    def _locked(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def locked(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                return call(*arguments, **options)

        return locked

    def _name(self, path: str, folder: int | None) -> str | None:
        """What the disk calls it, if it lies on it."""
        if folder is None:
            above, path = os.path.split(path)
            inode = Path(above).stat().st_ino
        else:
            inode = os.fstat(folder).st_ino
        ours = self._folders.get(inode)
        return None if ours is None else os.path.join(ours, path)  # noqa: PTH118

    def _number(self, file: int) -> int | None:
        number = os.fstat(file).st_ino
        return number if number in self._disk.files else None

    def _open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name = self._name(path, dir_fd) if dir_fd is not None else None
        if name is not None:
            self._disk.check()
        file: int = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        if name is not None and name not in self._disk.names and flags & os.O_CREAT:
            self._disk.create(name, os.fstat(file).st_ino)
        return file

    def _pwrite(self, file: int, data: bytes, offset: int) -> int:
        if (number := self._number(file)) is not None:
            self._disk.write(number, bytes(data), offset)
        count: int = self._real["pwrite"](file, data, offset)
        return count

    def _ftruncate(self, file: int, size: int) -> None:
        if (number := self._number(file)) is not None:
            self._disk.resize(number, size)
        self._real["ftruncate"](file, size)

    def _posix_fallocate(self, file: int, offset: int, size: int) -> None:
        number = self._number(file)
        if number is not None and offset + size > os.fstat(file).st_size:
            self._disk.resize(number, offset + size)
        self._real["posix_fallocate"](file, offset, size)

    def _fsync(self, file: int) -> None:
        if (folder := self._folders.get(os.fstat(file).st_ino)) is not None:
            self._disk.sync_names(folder)
        elif (number := self._number(file)) is not None:
            self._disk.sync(number)

    def _link(self, old: str, new: str, **options: Any) -> None:
        names = [self._name(path, options["src_dir_fd"]) for path in (old, new)]
        if names[0] is not None and names[1] is not None:
            self._disk.check()
            self._real["link"](old, new, **options)
            self._disk.link(names[0], names[1])

    def _unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)
        if name is not None:
            self._disk.check()
        self._real["unlink"](path, dir_fd=dir_fd)
        if name is not None:
            self._disk.unlink(name)

    def _mkdir(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)
        if name is not None:
            self._disk.check()
        self._real["mkdir"](path, mode, dir_fd=dir_fd)
        if name is not None:
            inode = os.stat(path, dir_fd=dir_fd).st_ino
            self._folders[inode] = name
            self._disk.mkdir(name, inode)

    def _rmdir(self, path: str, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)
        if name is not None:
            self._disk.check()
        self._real["rmdir"](path, dir_fd=dir_fd)
        if name is not None:
            self._disk.rmdir(name)

    def _replace(self, old: str, new: str, **options: Any) -> None:
        names = [self._name(path, options["src_dir_fd"]) for path in (old, new)]
        if names[0] is not None and names[1] is not None:
            self._disk.rename(names[0], names[1])
        self._real["replace"](old, new, **options)

    _rename = _replace


def restored(disk: Disk, folder: Path) -> Disk:
    """A new folder with what ``disk`` holds, and the disk that is under it from now on."""
    folder.mkdir()
    paths: dict[int, Path] = {}
    for name, number in sorted(disk.names.items()):
        path = folder / name
        if number in disk.folders:
            path.mkdir()
        elif number in paths:
            path.hardlink_to(paths[number])
        else:
            path.write_bytes(disk.files[number].content)
            paths[number] = path
    found = {
        str(path.relative_to(folder)): (path.stat().st_ino, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    folders = {
        str(path.relative_to(folder)): path.stat().st_ino
        for path in folder.rglob("*")
        if path.is_dir()
    }
    return Disk.like(found, folders, syncs=disk.syncs)
