"""The folder of one download under trial, and what must be true of it at any time."""

from pathlib import Path
from typing import NamedTuple

from campaigns.holders import Sample

from pirate.disk.journal import decode
from pirate.disk.tree import JOURNAL_SUFFIX, PART_SUFFIX


class Seen(NamedTuple):
    """What a look found: the segments that are proven, if that can be told, and what is wrong."""

    published: bool
    proven: set[int] | None
    wrong: list[str]


class Place:
    """A folder that only downloads of ``sample`` write to."""

    def __init__(self, folder: Path, sample: Sample, *, make: bool = True) -> None:
        """With ``make`` the folder is made if it is not there; else the downloads do that."""
        if make:
            folder.mkdir(exist_ok=True)
        self.folder = folder
        self.sample = sample
        self._part = folder / f".{sample.digest}{PART_SUFFIX}"
        self._journal = folder / f".{sample.digest}{JOURNAL_SUFFIX}"

    @property
    def names(self) -> tuple[str, ...]:
        """All names that a download may use here."""
        return self.sample.name, self._part.name, self._journal.name

    def look(self) -> Seen:
        """After a kill: names, bytes and journal; a noted segment must be there."""
        proven = self._proven()
        wrong = self.misnamed() + [
            f"segment {index} is noted and not there"
            for index in sorted(proven or ())
            if not self._has(index)
        ]
        published = (self.folder / self.sample.name).exists()
        return Seen(published, self._everything if published else proven, wrong)

    def misnamed(self) -> list[str]:
        """What stands under a final name and is not the file."""
        there = self.folder.iterdir() if self.folder.exists() else ()  # removed if made for nothing
        return [
            f"{path.name} stands there and is not the file"
            for path in there
            if not path.name.startswith(".")
            and (path.name != self.sample.name or path.read_bytes() != self.sample.content)
        ]

    def whole(self) -> bool:
        """Whether the part file has all bytes, whatever the journal says."""
        return self._part.exists() and self._part.read_bytes() == self.sample.content

    def finished(self) -> list[str]:
        """What is wrong with the folder after a get that says it is done."""
        path = self.folder / self.sample.name
        wrong = self.litter(self.sample.name)
        if not path.exists():
            wrong.append("it says it is done and there is no file")
        elif path.read_bytes() != self.sample.content:
            wrong.append("it says it is done and the file is wrong")
        return wrong

    def litter(self, *expected: str) -> list[str]:
        """What lies there and was not expected."""
        names = {path.name for path in self.folder.iterdir()}
        return [f"{name} is left" for name in sorted(names - set(expected))]

    def _has(self, index: int) -> bool:
        """Whether the part file has the bytes of a segment."""
        with self._part.open("rb") as part:
            part.seek(len(self.sample.segment(0)) * index)
            expected = self.sample.segment(index)
            return part.read(len(expected)) == expected

    @property
    def _everything(self) -> set[int]:
        return set(range(self.sample.segments))

    def _proven(self) -> set[int] | None:
        """What the journal says, if there is one of this part file."""
        try:
            inode = self._part.stat().st_ino
            decoded = decode(self._journal.read_bytes(), self.sample.digest, inode)
        except FileNotFoundError:
            return None
        return set(decoded[0].links) if decoded else None
