"""Cut the power while many small files get their names together, on the forgetful disk."""

import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from campaigns.disk import NEVER, Disk
from campaigns.holders import Holders
from campaigns.killing import LONGEST_SECONDS, PIRATE
from campaigns.mounted import Mounted
from processes.peers import SOURCE, environment

# Where its files end: those below have to be made.
FOLDERS = ("", "a/", "a/b/", "c/d/")


class Batching:
    """One campaign over all samples of the holders. Everything random comes from ``rng``."""

    def __init__(
        self,
        holders: Holders,
        folder: Path,
        rng: Random,
        *,
        syncs: bool = True,
        command: Sequence[str] = PIRATE,
    ) -> None:
        """``syncs``: whether the disk syncs when it is asked to."""
        self._holders = holders
        self._disk = folder / "disk"
        self._list = folder / "list"
        self._rng = rng
        self._syncs = syncs
        self._command = command
        self._files = {
            FOLDERS[number % len(FOLDERS)] + sample.name: sample.content
            for number, sample in enumerate(holders.samples)
        }
        lines = zip(holders.samples, self._files, strict=True)
        self._list.write_text("".join(f"{sample.digest}  {name}\n" for sample, name in lines))
        self.cuts: Counter[str] = Counter()  # by the step that came last
        self.found: Counter[str] = Counter()  # how many files were there when it was back
        self.bad: list[str] = []

    @property
    def total(self) -> int:
        """How many cuts there were."""
        return self.cuts.total()

    def run(self, cuts: int, most_bad: int = 10) -> bool:
        """Cut so often; whether nothing was bad. Ends early if much is."""
        whole = Disk()
        code, _, err = self._get(whole)
        if code:
            raise RuntimeError(err)
        while self.total < cuts and len(self.bad) < most_bad:
            disk, bad = Disk(syncs=self._syncs), len(self.bad)
            for _ in range(self._rng.randint(1, 3)):
                disk = self._cut(disk, self._rng.randint(1, len(whole.steps)))
                if len(self.bad) > bad:
                    break
            else:
                self._cut(disk, NEVER)
        return not self.bad

    def _cut(self, disk: Disk, at: int) -> Disk:
        """One run, cut at a step or when it is over; what is left."""
        disk.cut_at = at
        code, told, err = self._get(disk)
        self.cuts[disk.steps[-1] if disk.off and disk.steps else "after the end"] += 1
        what = f"cut at {len(disk.steps)}, after {disk.steps[-3:]}"
        if not disk.off and (code or told != self._files.keys()):
            self.bad.append(f"exit code {code}: {err}")
        after = disk.cut(self._rng)
        files = {name for name, number in after.names.items() if number in after.files}
        there = {name for name in files if not Path(name).name.startswith(".")}
        self.bad += [f"{what}: {name} was told, and is absent" for name in told - there]
        self.bad += [
            f"{what}: {name} stands there and is not the file"
            for name in there
            if bytes(after.files[after.names[name]].content) != self._files.get(name)
        ]
        kind = "all" if there == self._files.keys() else "some" if there else "none"
        self.found[kind] += 1
        return after

    def _get(self, disk: Disk) -> tuple[int, set[str], str]:
        """Its exit code, the names that it printed, and its stderr."""
        with Mounted(disk, self._disk):
            done = subprocess.run(
                [
                    *(*self._command, "get", "-i", str(self._list), "-d", str(self._disk)),
                    *self._holders.some(self._rng),
                ],
                capture_output=True,
                text=True,
                env=environment(PYTHONPATH=str(SOURCE)),
                timeout=LONGEST_SECONDS,
                check=False,
            )
        told = {str(Path(line).relative_to(self._disk)) for line in done.stdout.splitlines()}
        return done.returncode, told, done.stderr.strip()
