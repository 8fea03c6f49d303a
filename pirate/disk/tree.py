"""Walk shared folders, never through a symlink.

Every step goes by ``dir_fd``, so nothing that is renamed or linked meanwhile can lead outside.
"""

import contextlib
import errno
import os
import stat
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from pirate.disk.opening import open_next, open_root
from pirate.disk.place import Identity, Parts, Place
from pirate.policy.rules import Rules

PART_SUFFIX = ".pirate-part"
JOURNAL_SUFFIX = ".pirate-journal"

_UNFINISHED = (PART_SUFFIX, JOURNAL_SUFFIX)

# So many files are told of at a time.
LONGEST_LISTING = 1000

# Deeper folders are left out: each level costs a descriptor while it is walked.
DEEPEST = 64


class Found(NamedTuple):
    """A regular file of a walk: its path below the root and its identity.

    ``folder`` is the inode of the folder that it is in, ``links`` how many names it has.
    """

    parts: Parts
    identity: Identity
    folder: int = 0
    links: int = 0

    @property
    def label(self) -> int:
        """A number of 32 bits for its name in this folder; 0 if it has several names.

        A file that has another label than before has been renamed. It is the same if one of
        the folders above was.
        """
        return _label(self.folder, self.parts[-1]) if self.links == 1 else 0


def _label(folder: int, name: str) -> int:
    return zlib.crc32(b"%d/%s" % (folder, os.fsencode(name)))


class Listing(NamedTuple):
    """Regular files of one folder of a walk, ascending by name, in columns.

    ``inode`` is that of the folder, ``links`` says how many names each file has.
    """

    root: str
    parts: Parts
    inode: int
    names: list[str]
    identities: list[Identity]
    links: list[int]

    def found(self, at: int) -> Found:
        """One of the files."""
        parts = (*self.parts, self.names[at])
        return Found(parts, self.identities[at], self.inode, self.links[at])

    def some(self, places: Sequence[int]) -> "Listing":
        """Some of them."""
        if len(places) == len(self.names):
            return self
        return self._replace(
            names=[self.names[at] for at in places],
            identities=[self.identities[at] for at in places],
            links=[self.links[at] for at in places],
        )

    def label(self, at: int) -> int:
        """The label of one of them."""
        return _label(self.inode, self.names[at]) if self.links[at] == 1 else 0


def unfinished(name: str) -> bool:
    """Whether this is a file of a download that is not done."""
    return name.endswith(_UNFINISHED)


Trouble = Callable[[Parts, OSError], None]


class Shares:
    """The folders that are shared, each once, and the rules of what in them is."""

    def __init__(self, roots: Iterable[str], rules: Rules | None = None) -> None:
        """Of several names of one folder the first is used."""
        once: dict[str, str] = {}
        for root in roots:
            once.setdefault(os.path.realpath(root), root)
        self.roots = tuple(once.values())
        self.rules = rules or Rules()

    def walk(self, trouble: Callable[[str, Parts, OSError], None]) -> Iterator[tuple[str, Found]]:
        """Every file that is shared, and the root that it lies below."""
        for listing in self.listings(trouble):
            for at in range(len(listing.names)):
                yield listing.root, listing.found(at)

    def listings(
        self,
        trouble: Callable[[str, Parts, OSError], None],
        places: Iterable[Place] | None = None,
    ) -> Generator[Listing, None, None]:
        """All that is shared, a folder or some of it at a time; only at or below places."""
        for root, parts in ((root, ()) for root in self.roots) if places is None else places:
            yield from listings(root, partial(trouble, root), self.rules, parts)


def walk(root: str, trouble: Trouble, rules: Rules | None = None) -> Iterator[Found]:
    """Every regular file below ``root`` that may be shared, in the order of their paths."""
    for listing in listings(root, trouble, rules):
        yield from map(listing.found, range(len(listing.names)))


def listings(
    root: str, trouble: Trouble, rules: Rules | None = None, parts: Parts = ()
) -> Iterator[Listing]:
    """The same, some files of a folder at a time; with ``parts`` only what is there.

    That is a file or a folder, if it is still there.
    What cannot be read, or vanishes meanwhile, is told to ``trouble`` and left out.
    """
    try:
        folder = open_root(root)
    except OSError as error:
        trouble((), error)
        return
    yield from _Walk(root, trouble, rules or Rules()).down(folder, (), "", parts)


class _Walk:
    """One walk below one root."""

    def __init__(self, root: str, trouble: Trouble, rules: Rules) -> None:
        self._root = root
        self._trouble = trouble
        self._rules = rules
        self._above: set[tuple[int, int]] = set()  # device and inode of the folders we are in

    def down(self, folder: int, parts: Parts, path: str, wanted: Parts) -> Iterator[Listing]:
        """Walk what is at ``wanted`` below an open folder, which is closed here."""
        if not wanted:
            yield from self.folder(folder, parts, path)
            return
        try:
            with self._inside(folder) as inode:
                yield from self._step(folder, inode, (parts, path), wanted)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._trouble((*parts, wanted[0]), error)
        finally:
            os.close(folder)

    def _step(
        self, folder: int, inode: int, here: tuple[Parts, str], wanted: Parts
    ) -> Iterator[Listing]:
        """Go one step down, to a folder or to the file that is wanted."""
        (parts, path), name = here, wanted[0]
        below = (*parts, name)
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if self._enters(parts, path, name):
                deeper = open_next(folder, name)
                yield from self.down(deeper, below, f"{path}{name}/", wanted[1:])
        elif (
            stat.S_ISREG(status.st_mode)
            and not wanted[1:]
            and self._rules.shares(path + name, name)
        ):
            files = [name], [Identity.of(status)], [status.st_nlink]
            yield Listing(self._root, parts, inode, *files)

    def _enters(self, parts: Parts, path: str, name: str) -> bool:
        """Whether a folder in the one at ``parts`` is walked."""
        if unfinished(name) or len(parts) + 1 >= DEEPEST:
            return False
        return self._rules.enters(path + name, name)

    def folder(self, folder: int, parts: Parts, path: str) -> Iterator[Listing]:
        """Walk an open folder, which is closed here. ``path`` ends with a slash, or is empty."""
        try:
            with self._inside(folder) as inode:
                yield from self._entries(folder, inode, parts, path)
        except OSError as error:
            self._trouble(parts, error)
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _inside(self, folder: int) -> Iterator[int]:
        """Be in a folder, and give its inode; OSError if we are in it already: a mount."""
        status = os.fstat(folder)
        here = status.st_dev, status.st_ino
        if here in self._above:
            raise OSError(errno.ELOOP, "this folder is inside itself")
        self._above.add(here)
        try:
            yield status.st_ino
        finally:
            self._above.remove(here)

    def _entries(self, folder: int, inode: int, parts: Parts, path: str) -> Iterator[Listing]:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=attrgetter("name"))
        files: list[os.DirEntry[str]] = []
        for entry in ordered:
            name = entry.name
            try:
                if entry.is_file(follow_symlinks=False):
                    if self._shares(path, name):
                        files.append(entry)
                elif entry.is_dir(follow_symlinks=False) and self._enters(parts, path, name):
                    yield from self._listings(inode, parts, files)
                    files = []
                    deeper = open_next(folder, name)
                    yield from self.folder(deeper, (*parts, name), f"{path}{name}/")
            except OSError as error:
                self._trouble((*parts, name), error)
        yield from self._listings(inode, parts, files)

    def _shares(self, path: str, name: str) -> bool:
        return not name.endswith(_UNFINISHED) and self._rules.shares(path + name, name)

    def _listings(
        self, inode: int, parts: Parts, files: list["os.DirEntry[str]"]
    ) -> Iterator[Listing]:
        """Some files of a folder, those of them that are still there."""
        for first in range(0, len(files), LONGEST_LISTING):
            some = files[first : first + LONGEST_LISTING]
            try:
                statuses = [entry.stat(follow_symlinks=False) for entry in some]
            except OSError:
                some, statuses = self._left(parts, some)
            names = [entry.name for entry in some]
            links = [status.st_nlink for status in statuses]
            if names:
                identities = [*map(Identity.of, statuses)]
                yield Listing(self._root, parts, inode, names, identities, links)

    def _left(
        self, parts: Parts, files: list["os.DirEntry[str]"]
    ) -> tuple[list["os.DirEntry[str]"], list[os.stat_result]]:
        """Those of some files that are still there, and what they are."""
        left, statuses = [], []
        for entry in files:
            try:
                statuses.append(entry.stat(follow_symlinks=False))
                left.append(entry)
            except OSError as error:
                self._trouble((*parts, entry.name), error)
        return left, statuses
