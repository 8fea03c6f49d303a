"""A folder on a disk that forgets at a power cut whatever was not synced.

Writes, and changes of names, are kept apart until their file or folder is synced. At a cut some
of them survive: none, all, the first ones, or any, since no file system promises an order. With
the name of a folder all that is in it is lost. Names are paths; the folder itself is "".
"""

import errno
import os
from dataclasses import dataclass, field
from random import Random
from typing import Self, TypeVar

# What survives of a write is a subset of such blocks.
BLOCK_BYTES = 4096

NEVER = 1 << 60

_Op = TypeVar("_Op")


class PowerCutError(OSError):
    """The power is gone: nothing works any more."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "power cut")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset."""

    offset: int
    data: bytes

    def on(self, content: bytearray) -> None:
        """Do it."""
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def blocks(self) -> "list[Write]":
        """The same as writes that lie in one block each."""
        parts, at = [], 0
        while at < len(self.data):
            end = at + BLOCK_BYTES - (self.offset + at) % BLOCK_BYTES
            parts.append(Write(self.offset + at, self.data[at:end]))
            at = end
        return parts


@dataclass(frozen=True, slots=True)
class Resize:
    """A new size."""

    size: int

    def on(self, content: bytearray) -> None:
        """Do it."""
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))

    def blocks(self) -> "list[Resize]":
        """It is done, or not."""
        return [self]


@dataclass(slots=True)
class File:
    """What is read, what is safe, and what lies between them."""

    content: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    pending: list[Write | Resize] = field(default_factory=list)


class Disk:
    """One folder. Not for several threads at once."""

    def __init__(self, *, syncs: bool = True) -> None:
        """``syncs``: whether it does what it is asked to; a control does not."""
        self.syncs = syncs
        self.names: dict[str, int] = {}
        self.files: dict[int, File] = {}
        self.folders: set[int] = set()  # numbers, of names as those of files are
        self._safe_names: dict[str, int] = {}
        self._pending_names: list[dict[str, int | None]] = []
        self._next = 2  # 1 is the folder
        self.steps: list[str] = []  # what has been done, for reports
        self.cut_at = NEVER  # no step of this number is done, nor any later one

    @property
    def off(self) -> bool:
        """Whether the power is gone."""
        return len(self.steps) >= self.cut_at

    def check(self) -> None:
        """Raises PowerCutError once the power is gone."""
        if self.off:
            raise PowerCutError

    def links(self, number: int) -> int:
        """How many names a file has."""
        return list(self.names.values()).count(number)

    def create(self, name: str, number: int | None = None) -> int:
        """A new empty file; its number is chosen unless given."""
        self._step("create")
        number = number or self._next
        self._next = max(self._next, number) + 1
        self.files[number] = File()
        self._rename({name: number})
        return number

    def write(self, number: int, data: bytes, offset: int) -> None:
        """Change some bytes of a file."""
        self._step("write")
        self._change(number, Write(offset, data))

    def resize(self, number: int, size: int) -> None:
        """Cut a file, or extend it by zeros."""
        self._step("resize")
        self._change(number, Resize(size))

    def sync(self, number: int) -> None:
        """All that a file holds is safe then; not its name."""
        self._step("fsync")
        if self.syncs:
            file = self.files[number]
            file.safe = bytearray(file.content)
            file.pending.clear()

    def sync_names(self, folder: str = "") -> None:
        """All names in a folder are safe then; not its own."""
        self._step("fsync of the folder")
        if self.syncs:
            inside = [each for each in self._pending_names if _folder_of(each) == folder]
            _apply(inside, self._safe_names)
            self._pending_names = [
                each for each in self._pending_names if _folder_of(each) != folder
            ]

    def mkdir(self, name: str, number: int | None = None) -> int:
        """A new empty folder; its number is chosen unless given."""
        self._step("mkdir")
        number = number or self._next
        self._next = max(self._next, number) + 1
        self.folders.add(number)
        self._rename({name: number})
        return number

    def rmdir(self, name: str) -> None:
        """One folder less."""
        self._step("rmdir")
        self._rename({name: None})

    def link(self, old: str, new: str) -> None:
        """One more name."""
        self._step("link")
        self._rename({new: self.names[old]})

    def unlink(self, name: str) -> None:
        """One name less."""
        self._step("unlink")
        self._rename({name: None})

    def rename(self, old: str, new: str) -> None:
        """Another name, in place of what has it."""
        self._step("rename")
        self._rename({new: self.names[old], old: None})

    def cut(self, rng: Random) -> "Disk":
        """What is found when the power is back."""
        after = Disk(syncs=self.syncs)
        names: dict[str, int] = dict(self._safe_names)
        _apply(_survivors(self._pending_names, rng), names)
        for name in sorted(names):  # those above come before those below
            if (above := os.path.dirname(name)) and above not in names:  # noqa: PTH120
                del names[name]
        after.names, after._safe_names = names, dict(names)
        after._next = self._next
        after.folders = self.folders & set(names.values())
        for number in set(names.values()) - self.folders:
            file = self.files[number]
            content = bytearray(file.safe)
            for op in _survivors([block for each in file.pending for block in each.blocks()], rng):
                op.on(content)
            after.files[number] = File(content, bytearray(content))
        return after

    @classmethod
    def like(
        cls,
        contents: dict[str, tuple[int, bytes]],
        folders: dict[str, int],
        *,
        syncs: bool = True,
    ) -> Self:
        """One that safely holds these files and folders: their numbers and bytes, by name."""
        disk = cls(syncs=syncs)
        disk.folders = set(folders.values())
        disk.names |= folders
        disk._safe_names |= folders
        for name, (number, content) in contents.items():
            disk.names[name] = disk._safe_names[name] = number
            disk.files[number] = File(bytearray(content), bytearray(content))
        return disk

    def _step(self, what: str) -> None:
        self.check()
        self.steps.append(what)

    def _change(self, number: int, op: Write | Resize) -> None:
        file = self.files[number]
        op.on(file.content)
        file.pending.append(op)

    def _rename(self, change: dict[str, int | None]) -> None:
        for name, number in change.items():
            if number is None:
                del self.names[name]
            else:
                self.names[name] = number
        self._pending_names.append(change)


def _folder_of(change: dict[str, int | None]) -> str:
    """The folder whose names a change is of; none goes from one to another."""
    [folder] = {os.path.dirname(name) for name in change}  # noqa: PTH120
    return folder


def _apply(changes: list[dict[str, int | None]], names: dict[str, int]) -> None:
    for change in changes:
        for name, number in change.items():
            if number is None:
                names.pop(name, None)
            else:
                names[name] = number


def missing(name: str) -> OSError:
    """What a file system says of a name that it does not know."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _survivors(pending: list[_Op], rng: Random) -> list[_Op]:
    match rng.choice(("none", "all", "first", "any", "most")):
        case "none":
            return []
        case "all":
            return pending
        case "first":
            return pending[: rng.randint(0, len(pending))]
        case "any":
            return [op for op in pending if rng.random() < 0.5]
        case _:
            return [op for op in pending if rng.random() < 0.95]
