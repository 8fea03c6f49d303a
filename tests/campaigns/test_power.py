"""Power cuts at every step and at random ones, with what survives of the rest left to chance."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from campaigns.disk import NEVER, Disk
from campaigns.recorded import Recorded, restored
from fetch.rig import Rig
from honest import Honest, digest_of, some_bytes

from pirate.disk import journal
from pirate.disk.journal import Journal
from pirate.disk.partfile import PartFile
from pirate.errors import LocalIOError

CONTENT = some_bytes(330_001)  # six segments
DIGEST = digest_of(CONTENT)
ROUNDS = 3


class Machine:
    """A folder, and the disk under it; files are restored to ever new folders."""

    def __init__(self, root: Path, server: Honest, rng: Random, *, syncs: bool) -> None:
        self._folders = (root / f"boot-{number}" for number in itertools.count())
        self._server = server
        self._rng = rng
        self._disk = Disk(syncs=syncs)
        self._folder = next(self._folders)
        self._folder.mkdir(parents=True)
        self.bad = 0

    def get(self, cut_at: int) -> bool:
        """Run it until that step, or to its end; whether it came there. Then cut the power."""
        self._disk.cut_at = cut_at
        done = True
        with Recorded(self._disk, self._folder):
            try:
                Rig(self._folder / "new" / "deep").get(DIGEST, self._server.peer)
            except LocalIOError:
                assert self._disk.off
                done = False
        steps = len(self._disk.steps)
        if done and steps < cut_at:
            self.bad += os.listdir(self._folder / "new" / "deep") != ["file"]  # noqa: PTH208
        self._restart()
        final = self._folder / "new" / "deep" / "file"
        if final.exists():
            self.bad += final.read_bytes() != CONTENT
        elif done:
            self.bad += 1
        return done

    def _restart(self) -> None:
        after = self._disk.cut(self._rng)
        self._folder = next(self._folders)
        self._disk = restored(after, self._folder)


@pytest.fixture(name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Honest]:
    with Honest(tmp_path_factory.mktemp("shared")) as server:
        server.put("file", CONTENT)
        yield server


@pytest.fixture(name="root")
def _root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where part files may stay behind; each boot has its id, and a part file keeps its inode."""
    boots = itertools.count()

    def same_inode(part: PartFile) -> Journal:
        return Journal(part._folder, part._digest, 7)

    monkeypatch.setattr(PartFile, "journal", same_inode)
    monkeypatch.setattr(journal, "boot_id", lambda: next(boots).to_bytes(16, "big"))
    return tmp_path_factory.mktemp("machine")


def campaign(root: Path, server: Honest, seed: int, *, syncs: bool) -> int:
    """Cut at each step of one get, then at random ones of the next; how many files were bad."""
    rng, bad = Random(seed), 0
    for number in range(1, 60):
        machine = Machine(root / f"{number}", server, rng, syncs=syncs)
        done = machine.get(number)
        cuts = [rng.randint(1, 40) for _ in range(rng.randint(0, ROUNDS))]
        for cut in [*cuts, NEVER]:
            if not machine.bad:  # a wrong file would only be in the way
                machine.get(cut)
        bad += machine.bad > 0
        if done:
            return bad
    raise AssertionError("a get has fewer steps")


@pytest.mark.parametrize("seed", range(5))
def test_after_a_power_cut_the_file_is_whole_or_absent_and_the_next_run_brings_it(
    root: Path, server: Honest, seed: int
) -> None:
    assert campaign(root, server, seed, syncs=True) == 0


def test_the_same_on_a_disk_that_syncs_nothing_is_found_bad(root: Path, server: Honest) -> None:
    assert campaign(root, server, 0, syncs=False) > 5
