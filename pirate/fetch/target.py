"""Where a download ends: a folder, a name, and what to do if the name is taken."""

import contextlib
import enum
import fcntl
import os
from collections.abc import Iterable
from typing import Self

from pirate.disk.names import SafeName, numbered
from pirate.disk.opening import open_folder, sync_folder
from pirate.disk.partfile import PartFile, exists, holds, is_folder
from pirate.disk.place import Parts
from pirate.errors import ExistsError, LocalIOError, translated
from pirate.model import Digest

# Others may remove the folder that we are about to use, as we do below, so often.
_OPEN_TRIES = 8


class IfExists(enum.Enum):
    """What to do with a target that holds other content."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"
    RENAME = "rename"


class Verdict(enum.Enum):
    """What is to be done about a target; the value is its name in JSON."""

    WANTED = "downloaded"
    PRESENT = "present"
    SKIPPED = "skipped"


class Folder:
    """Where files end: a folder that is made if it lacks, and held open.

    One that was made is removed at the end if nothing has come into it. Before anything in it is
    told to be there ``settle`` the folders that hold what was made, ``above``. Close it, or use
    it as a context manager.
    """

    def __init__(self, root: str, parts: Parts) -> None:
        """The folder ``parts`` below ``root``. Raises LocalIOError."""
        self.path = os.path.join(root, *parts)  # noqa: PTH118 - shown, not opened
        with translated(f"cannot use the folder {self.path}"):
            self._made, self.file = _open(root, parts)
        self.above = frozenset(os.path.dirname(path) or "." for path in self._made)  # noqa: PTH120

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._made:
            _remove(self.file, self._made)
        os.close(self.file)


class Target:
    """A place for one file, used by one thread. Close it, or use it as a context manager."""

    def __init__(
        self,
        root: str,
        parts: Parts,
        name: str | None,
        if_exists: IfExists,
        *,
        folder: Folder | None = None,
    ) -> None:
        """A file in the folder ``parts`` below ``root``; folders that lack are made.

        Without a ``name`` the first holder suggests one. ``folder`` is that folder if it is open
        already, and stays the caller's. Raises LocalIOError.
        """
        if name in ("", ".", ".."):
            path = os.path.join(root, *parts, name)  # noqa: PTH118 - shown, not opened
            raise LocalIOError(f"{path} names no file")
        self._place = folder or Folder(root, parts)
        self._owned = folder is None
        if self._owned:
            self._settle()
        self.folder = self._place.file
        self.name = name
        self._if_exists = if_exists

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._owned:
            self._place.close()

    @property
    def path(self) -> str:
        """The whole path, as it is printed."""
        return os.path.normpath(os.path.join(self._place.path, self.name or ""))  # noqa: PTH118

    @property
    def size(self) -> int | None:
        """The size of the file of this name, if it is there."""
        if self.name is None:
            return None
        with translated(f"cannot read {self.path}"):
            return os.stat(self.name, dir_fd=self.folder).st_size

    def judge(self, digest: Digest | None) -> Verdict:
        """Whether the file has to be fetched. May choose another name; raises ExistsError.

        Without a ``digest``, as a range has none, whatever is there counts as other content.
        """
        name = self.name
        if name is None or not exists(self.folder, name):
            return Verdict.WANTED
        if digest and holds(self.folder, name, digest):
            return Verdict.PRESENT
        match self._if_exists:
            case IfExists.FAIL:
                raise ExistsError(f"{self.path} exists" + " and holds other content" * bool(digest))
            case IfExists.SKIP:
                return Verdict.SKIPPED
            case IfExists.OVERWRITE:
                if is_folder(self.folder, name):
                    raise ExistsError(f"{self.path} is a folder")
                return Verdict.WANTED
            case IfExists.RENAME:
                return self._rename(name, digest)

    def _settle(self) -> None:
        """At once: another process may tell of files in a folder that we have made."""
        try:
            settle(self._place.above)
        except LocalIOError:
            self._place.close()
            raise

    def publish(self, part: PartFile) -> None:
        """Give the verified part file its name, durably. Raises ExistsError or LocalIOError."""
        if self.name is None:
            raise LocalIOError("a download without a name")
        part.publish(self.name, overwrite=self._if_exists is IfExists.OVERWRITE)

    def give_name(self, part: PartFile) -> None:
        """The same where others sync the part file before and the folder behind it."""
        if self.name is None:
            raise LocalIOError("a download without a name")
        part.name(self.name, overwrite=self._if_exists is IfExists.OVERWRITE)

    def _rename(self, name: str, digest: Digest | None) -> Verdict:
        number = 2
        while True:
            self.name = numbered(SafeName(name), number)
            if not exists(self.folder, self.name):
                return Verdict.WANTED
            if digest and holds(self.folder, self.name, digest):
                return Verdict.PRESENT
            number += 1


def settle(folders: Iterable[str]) -> None:
    """Have what was made in these folders on the disk. Raises LocalIOError."""
    for folder in folders:
        with translated(f"cannot write to the folder {folder}"):
            sync_folder(folder)


def _lacking(path: str) -> list[str]:
    """The folders on the way to ``path`` that are not there, the innermost first."""
    lacking = []
    path = path.rstrip("/")
    while path and not os.path.lexists(path):
        lacking.append(path)
        path = os.path.dirname(path).rstrip("/")  # noqa: PTH120 - as the user wrote it
    return lacking


def _open(root: str, parts: Parts) -> tuple[list[str], int]:
    """A folder that nobody removes as an empty one while it is open: what was made, and it."""
    made: dict[str, None] = {}
    for _ in range(_OPEN_TRIES):
        made |= dict.fromkeys(_lacking(os.path.join(root, *parts)))  # noqa: PTH118 - as above
        try:
            folder = open_folder(root, parts)
        except FileNotFoundError:  # one on the way was removed since it was made
            continue
        # Where it cannot be locked, or another program has locked it, _remove fails as well.
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.fstat(folder).st_nlink:
            return list(made), folder
        os.close(folder)
    raise OSError("it keeps being removed")


def _remove(folder: int, paths: list[str]) -> None:
    """Remove these folders, ``folder`` first, if they are empty and nobody else is using it."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            os.rmdir(path)  # noqa: PTH106 - as it was made
