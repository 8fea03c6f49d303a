"""Every folder below a shared one under inotify; the only module that knows inotify_simple.

Linux tells of changes in a folder, not in those below it, so each has a watch of its own.
Folders are opened as in ``tree``, step by step and never through a symlink, and watched
through their descriptors: nothing outside the share is ever watched.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from inotify_simple import INotify, flags

from pirate.disk.opening import open_existing, open_next
from pirate.disk.place import Place
from pirate.disk.tree import DEEPEST, unfinished
from pirate.policy.rules import Rules

# Not OPEN, ACCESS and CLOSE_NOWRITE: our own reading would be told to us.
_MASK = (
    flags.CREATE
    | flags.MODIFY
    | flags.ATTRIB
    | flags.CLOSE_WRITE
    | flags.DELETE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.ONLYDIR
    | flags.EXCL_UNLINK
)
_COMES = flags.CREATE | flags.MOVED_TO | flags.ATTRIB
_GOES = flags.MOVED_FROM


class MissedError(Exception):
    """There was more than the kernel's queue holds: what has changed is not known."""


class Change(NamedTuple):
    """Something at this place has changed. ``writing``: by somebody who still has it open."""

    place: Place
    writing: bool


class _Watched(NamedTuple):
    place: Place
    number: int


class Folders:
    """The folders below one root, watched. For one thread."""

    def __init__(self, root: str, rules: Rules, remote: dict[int, str]) -> None:
        """Watches all of them. OSError if the root cannot be opened, or inotify not be had.

        ``rules``: what is shared. ``remote``: devices that others change, too (``mounts``).
        """
        self.root = root
        self.trouble: OSError | None = None  # why a folder is not watched
        self.remote = ""  # the type of a file system below that others change, too
        self._rules = rules
        self._devices = remote
        self._watched: dict[int, _Watched] = {}
        self._above: set[int] = set()  # the watches of the folders that are being walked
        self._lost: dict[Place, int] = {}
        self._number = 0  # counts what happens, so that it is known what was first
        folder = open_existing(root, ())
        status = os.fstat(folder)
        self.identity = (status.st_dev, status.st_ino)
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError:
            os.close(folder)
            raise
        self._watch(folder, Place(root, ()))

    def __len__(self) -> int:
        return len(self._watched)

    def fileno(self) -> int:
        """What becomes readable when something changes."""
        return int(self._inotify.fileno())

    def close(self) -> None:
        """Watch nothing any more."""
        self._inotify.close()

    def changes(self) -> Iterator[Change]:
        """What has changed since, without waiting; MissedError if that is not known.

        A change of a folder is one of all that is below it.
        """
        for event in self._inotify.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                raise MissedError
            if event.mask & flags.IGNORED:
                self._watched.pop(event.wd, None)
                continue
            watched = self._watched.get(event.wd)
            if watched is None or not event.name:
                continue
            root, parts = watched.place
            place = Place(root, (*parts, event.name))
            is_folder = bool(event.mask & flags.ISDIR)
            if not self._is_shared(place, is_folder=is_folder):
                continue
            if is_folder:
                self._moved(place, event.mask)
            yield Change(place, bool(event.mask & flags.MODIFY))
        if self._lost:
            self._release()

    def _moved(self, place: Place, mask: int) -> None:
        """A folder has come, or gone; if it was moved the kernel goes on to watch it."""
        if mask & _COMES:
            with contextlib.suppress(OSError):  # gone again, which is told too
                self._watch(open_existing(*place), place)
        elif mask & _GOES:
            self._lost[place] = self._next()

    def _release(self) -> None:
        """Watch no more what was moved away, and has not been found at another place since."""
        lost, self._lost = self._lost, {}
        for wd, (place, number) in list(self._watched.items()):
            root, parts = place
            above = (Place(root, parts[:count]) for count in range(1, len(parts) + 1))
            if any(number < lost.get(folder, 0) for folder in above):
                del self._watched[wd]
                with contextlib.suppress(OSError):  # it is gone for good
                    self._inotify.rm_watch(wd)

    def _watch(self, folder: int, place: Place) -> None:
        """Watch an open folder, which is closed here, and those below it.

        The folder first: what comes into it while it is listed is told.
        """
        root, parts = place
        try:
            self._note(folder)
            try:
                wd = self._inotify.add_watch(f"/proc/self/fd/{folder}", _MASK)
            except OSError as error:
                self.trouble = error
                return
            if wd in self._above:  # a mount of a folder inside itself
                return
            self._watched[wd] = _Watched(place, self._next())
            self._above.add(wd)
            for name in _folders_in(folder) if len(parts) + 1 < DEEPEST else ():
                below = Place(root, (*parts, name))
                if self._is_shared(below, is_folder=True):
                    with contextlib.suppress(OSError):  # not ours to read, or gone already
                        self._watch(open_next(folder, name), below)
            self._above.discard(wd)
        finally:
            os.close(folder)

    def _note(self, folder: int) -> None:
        """Remember if others may change this folder without the kernel's knowing."""
        if self._devices:
            self.remote = self._devices.get(os.fstat(folder).st_dev, self.remote)

    def _is_shared(self, place: Place, *, is_folder: bool) -> bool:
        """Whether a file, or files in a folder, may be shared that has this place."""
        name, path = place.parts[-1], "/".join(place.parts)
        judge = self._rules.enters if is_folder else self._rules.shares
        return not unfinished(name) and judge(path, name)

    def _next(self) -> int:
        self._number += 1
        return self._number


def _folders_in(folder: int) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []
