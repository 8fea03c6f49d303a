"""A forgetful disk as a file system that any process can use, by FUSE.

Needs root, /dev/fuse, libfuse and mfusepy; only ``scripts/campaigns/power`` has them.
"""

import errno
import os
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self

import mfusepy
from campaigns.disk import Disk, missing

# What a folder says of itself, beside its number; the root's is 1.
_FOLDER = {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}

# What libfuse calls a file that is removed while it is open.
_HIDDEN = ".fuse_hidden"

MOUNT_SECONDS = 10.0


class Forgetful:
    """FUSE's calls, done on a disk. A handle is the number of its file.

    What has no method is not implemented, and the kernel does it, as locks, or does without.
    """

    use_ns = True

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._hidden: dict[str, int] = {}  # removed and still open: libfuse renames them

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        """See stat(2)."""
        if path == "/":
            return _FOLDER | {"st_ino": 1}
        self._disk.check()
        number = self._number(path, fh)
        if number in self._disk.folders:
            return _FOLDER | {"st_ino": number}
        size = len(self._disk.files[number].content)
        return {
            "st_mode": stat.S_IFREG | 0o644,
            "st_nlink": self._disk.links(number),
            "st_ino": number,
            "st_size": size,
            "st_blocks": -(-size // 512),
        }

    def readdir(self, path: str, fh: int) -> list[str]:
        """See readdir(3)."""
        self._disk.check()
        inside = [name for name in self._disk.names if os.path.dirname(name) == path[1:]]  # noqa: PTH120
        return [".", "..", *map(os.path.basename, inside)]

    def statfs(self, path: str) -> dict[str, int]:
        """Much room."""
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1 << 24, "f_bavail": 1 << 24}

    def create(self, path: str, mode: int, fi: object = None) -> int:
        """See open(2) with O_CREAT."""
        return self._disk.create(path[1:])

    def open(self, path: str, flags: int) -> int:
        """See open(2)."""
        self._disk.check()
        number = self._number(path, None)
        if flags & os.O_TRUNC:
            self._disk.resize(number, 0)
        return number

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """See pread(2)."""
        self._disk.check()
        return bytes(self._disk.files[fh].content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """See pwrite(2)."""
        self._disk.write(fh, bytes(data), offset)
        return len(data)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        """See ftruncate(2)."""
        self._disk.resize(self._number(path, fh), length)
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        """See fallocate(2)."""
        if mode:
            raise mfusepy.FuseOSError(errno.EOPNOTSUPP)
        if offset + size > len(self._disk.files[fh].content):
            self._disk.resize(fh, offset + size)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """See fsync(2)."""
        self._disk.sync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        """See fsync(2), of a folder."""
        self._disk.sync_names(path[1:])
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        """See mkdir(2)."""
        self._disk.mkdir(path[1:])
        return 0

    def rmdir(self, path: str) -> int:
        """See rmdir(2)."""
        if any(name.startswith(f"{path[1:]}/") for name in self._disk.names):
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        self._disk.rmdir(path[1:])
        return 0

    def link(self, target: str, source: str) -> int:
        """See link(2); ``target`` is the new name."""
        self._disk.link(source[1:], target[1:])
        return 0

    def unlink(self, path: str) -> int:
        """See unlink(2)."""
        if self._hidden.pop(path, None) is None:
            self._disk.unlink(path[1:])
        return 0

    def rename(self, old: str, new: str) -> int:
        """See rename(2)."""
        if os.path.basename(new).startswith(_HIDDEN):  # noqa: PTH119
            self._hidden[new] = self._number(old, None)
            self._disk.unlink(old[1:])
        else:
            self._disk.rename(old[1:], new[1:])
        return 0

    def _number(self, path: str | None, fh: int | None) -> int:
        if fh:
            return fh
        name = path or "/"
        number = self._hidden.get(name) or self._disk.names.get(name[1:])
        if number is None:
            raise missing(name)
        return number


class Mounted:
    """``disk`` at ``point`` while the ``with`` block runs."""

    def __init__(self, disk: Disk, point: Path) -> None:
        self._disk = disk
        self._point = point
        self._thread = threading.Thread(target=self._serve, name="fuse")

    def __enter__(self) -> Self:
        self._point.mkdir(exist_ok=True)
        self._thread.start()
        end = time.monotonic() + MOUNT_SECONDS
        while not self._point.is_mount():
            if time.monotonic() > end or not self._thread.is_alive():
                raise OSError("FUSE cannot be mounted here")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        if subprocess.run(["umount", self._point], check=False, capture_output=True).returncode:
            subprocess.run(["umount", "-l", self._point], check=True)
        self._thread.join()

    def _serve(self) -> None:
        """Nothing may be cached: two names are one file, and attributes change."""
        mfusepy.FUSE(
            Forgetful(self._disk),
            str(self._point),
            foreground=True,
            nothreads=True,
            use_ino=True,
            direct_io=True,
            attr_timeout=0,
            entry_timeout=0,
            negative_timeout=0,
        )
