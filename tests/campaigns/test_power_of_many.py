"""Power cuts at every step while many small files get their names together."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from campaigns.disk import NEVER, Disk
from campaigns.recorded import Recorded, restored
from fetch.rig import Rig as Single
from fetch.test_many import Rig
from honest import Honest, digest_of, some_bytes

from pirate.disk import flush
from pirate.errors import LocalIOError
from pirate.fetch import batch

# Of the folders that they are in, one lies in another, and one holds nothing else.
FOLDERS = ("", "a/", "a/b/", "c/d/")
FILES = {f"{FOLDERS[i % 4]}f{i}": some_bytes(3000 * i, i) for i in range(7)}
MOST_STEPS = 120


class Machine:
    """A folder, and the disk under it; files are restored to ever new folders."""

    def __init__(self, root: Path, server: Honest, rng: Random, *, syncs: bool) -> None:
        self._folders = (root / f"boot-{number}" for number in itertools.count())
        self._server = server
        self._rng = rng
        self.disk = Disk(syncs=syncs)
        self._folder = next(self._folders)
        self._folder.mkdir(parents=True)
        self.bad = 0

    def get(self, cut_at: int) -> bool:
        """Get all until that step, or to the end; whether it came there. Then cut the power."""
        self.disk.cut_at = cut_at
        told: set[str] = set()
        with Recorded(self.disk, self._folder):
            rig = Rig(self._folder)
            for name, outcome in rig.run(FILES, self._server.peer):
                if outcome.verdict:
                    told.add(name)
            for name in sorted(rig.later):
                with contextlib.suppress(LocalIOError):
                    Single(*place(self._folder, name)).get(
                        digest_of(FILES[name]), self._server.peer
                    )
                    told.add(name)
        done = not self.disk.off
        if done:
            self.bad += rig.there != FILES or told != FILES.keys()
        after = self.disk.cut(self._rng)
        self._folder = next(self._folders)
        self.disk = restored(after, self._folder)
        there = {name: self._folder / name for name in FILES if (self._folder / name).exists()}
        self.bad += not told <= there.keys()
        self.bad += any(path.read_bytes() != FILES[name] for name, path in there.items())
        return done


def place(folder: Path, name: str) -> tuple[Path, str]:
    """Where a file of the list ends, as the folder and its name there."""
    return (folder / name).parent, (folder / name).name


@pytest.fixture(name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Honest]:
    folder = tmp_path_factory.mktemp("shared")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with Honest(folder) as server:
        yield server


def campaign(root: Path, server: Honest, seed: int, *, syncs: bool = True, every: int = 7) -> int:
    """Cut at some steps of one run, one after the other; how many cuts were bad."""
    rng, bad = Random(seed), 0
    for number in range(1 + seed, MOST_STEPS, every):
        machine = Machine(root / f"{seed}-{number}", server, rng, syncs=syncs)
        done = machine.get(number)
        if not machine.bad:
            machine.get(NEVER)
        bad += machine.bad > 0
        if done:
            return bad
    raise AssertionError("it has fewer steps")


@pytest.fixture(name="root")
def _root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where part files may stay behind. Batches are small, so that there are several."""
    monkeypatch.setattr(batch, "MOST_FILES", 4)
    monkeypatch.setattr(batch, "most_files", lambda: 4)
    monkeypatch.setattr(flush, "FEW_FILES", 1)
    return tmp_path_factory.mktemp("machine")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("at_once", [False, True])
def test_after_a_power_cut_every_file_is_whole_or_absent_and_what_was_told_is_there(
    root: Path, server: Honest, monkeypatch: pytest.MonkeyPatch, seed: int, *, at_once: bool
) -> None:
    syncing(monkeypatch, at_once=at_once)
    assert campaign(root, server, seed) == 0


def test_names_that_come_before_their_bytes_are_found_bad(
    root: Path, server: Honest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "flush", list)
    assert campaign(root, server, 0, every=4) > 1


def test_the_same_on_a_disk_that_syncs_nothing_is_found_bad(root: Path, server: Honest) -> None:
    assert campaign(root, server, 0, syncs=False, every=4) > 1


def syncing(monkeypatch: pytest.MonkeyPatch, *, at_once: bool) -> None:
    """By one syncfs, as our own file system may not know it, or file by file.

    It does what is asked of it here: whatever was written to files is safe.
    """

    def syncfs(file: int) -> None:
        below = Path(f"/proc/self/fd/{file}").resolve()
        [disk] = [folder for folder in below.parents if folder.name.startswith("boot-")]
        for path in disk.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_dir():
                    continue
                each = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(each)
                finally:
                    os.close(each)

    monkeypatch.setattr(flush, "_whole", lambda _: at_once)
    monkeypatch.setattr(flush, "_syncfs", syncfs)
