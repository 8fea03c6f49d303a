"""A library that scans when the test says."""

import os
from pathlib import Path

import pytest
from honest import SOON, digest_of

from pirate.disk import hashing
from pirate.disk.hashcache import HashCache
from pirate.disk.hashing import Hashed, Job
from pirate.disk.state import State
from pirate.disk.tree import Shares
from pirate.library import Library
from pirate.model import Digest
from pirate.scope import Stop


def note_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that this process reads from now on."""
    names: list[str] = []
    real = hashing.hash_one

    def noted(job: Job, stop: Stop, *_: object) -> Hashed | None:
        names.append("/".join(job.parts))
        return real(job, stop)

    monkeypatch.setattr(hashing, "hash_one", noted)
    return names


class Shelf:
    """A library that scans when the test says, and what it has read and told."""

    def __init__(self, *folders: Path, state: Path | None = None) -> None:
        self.changes = 0
        self.folders = folders
        self.library = Library(
            Shares(map(str, folders)),
            rescan=SOON,
            changed=self._changed,
            threads=2,
            cache=HashCache(State(str(state or ""))),
        )

    def _changed(self) -> None:
        self.changes += 1

    def put(self, name: str, content: bytes) -> Digest:
        path = self.folders[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest_of(content)

    def scan(self) -> dict[Digest, tuple[str, ...]]:
        self.library.scan(Stop())
        return {entry.digest: entry.names for entry in self.library.catalog}

    def content(self, digest: Digest) -> bytes:
        with self.library.open(digest) as source:
            return os.pread(source.file, source.size + 1, 0)
