"""Cut the power of downloads at random steps, and look at what is left."""

import secrets
import subprocess
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from campaigns.disk import NEVER, Disk
from campaigns.holders import Holders
from campaigns.killing import LONGEST_SECONDS, PIRATE
from campaigns.mounted import Mounted
from campaigns.place import Place
from processes.peers import SOURCE, environment

# Runs what follows as if the machine had been started anew: the file's id is this boot's.
REBOOTED = """
mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"
"""

# Where files end on the disk: in a folder that the download has to make, in another.
NEW = Path("new", "deep")

# Where a cut hurts most: the steps of publishing are the last ones.
LAST_STEPS = 8


class Powering:
    """One campaign. Everything random comes from ``rng``."""

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
        self._folder = folder
        self._rng = rng
        self._syncs = syncs
        self._command = command
        self._steps = 0  # of a whole download
        self.cuts: Counter[str] = Counter()  # by the step that came last
        self.found: Counter[str] = Counter()  # what was there when the power was back
        self.bad: list[str] = []
        self.files = 0
        self.resumed_bytes = 0

    @property
    def total(self) -> int:
        """How many cuts there were."""
        return self.cuts.total()

    def run(self, cuts: int, most_bad: int = 10) -> bool:
        """Cut so often; whether nothing was bad. Ends early if much is."""
        while self.total < cuts and len(self.bad) < most_bad:
            self._file()
        return not self.bad

    def _file(self) -> None:
        """One file: cut one to four times, the last time when it is there."""
        sample = self._rng.choice(self._holders.samples)
        disk = Disk(syncs=self._syncs)
        if not self._steps:
            self._steps = self._measure(sample.name)
        bad = len(self.bad)
        for _ in range(self._rng.randint(0, 3)):
            near = self._rng.random() < 0.5
            first = max(0, self._steps - LAST_STEPS) if near else 1
            disk, done = self._cut(disk, sample.name, self._rng.randint(first, self._steps))
            if done or len(self.bad) > bad:
                break
        else:
            self._cut(disk, sample.name, NEVER)
        self.files += 1

    def _cut(self, disk: Disk, name: str, at: int) -> tuple[Disk, bool]:
        """One run, cut at a step or when it is over; what is left, and whether it was over."""
        disk.cut_at = at
        code, err = self._get(disk, name)
        self.cuts[disk.steps[-1] if disk.off and disk.steps else "after the end"] += 1
        what = f"cut at {len(disk.steps)}, after {disk.steps[-3:]}"
        if not disk.off and code:
            self.bad.append(f"exit code {code}: {err}")
        after = disk.cut(self._rng)
        present = str(NEW / name) in after.names
        with Mounted(after, self._folder / "disk"):
            place = self._place(name)
            if not disk.off and code == 0 and not present:
                self.bad.append("it said it is done, and after a cut the file is absent")
            self.bad += [f"{what}: {each}" for each in place.misnamed()]
        self.found["whole" if present else "part" if after.names else "nothing"] += 1
        return after, code == 0

    def _get(self, disk: Disk, name: str) -> tuple[int, str]:
        """Run it in a new boot of the machine; its exit code and stderr."""
        boot = self._folder / "boot"
        boot.write_text(f"{uuid.UUID(bytes=secrets.token_bytes(16))}\n")
        with Mounted(disk, self._folder / "disk"):
            place = self._place(name)
            target = self._rng.choice((["-d", str(place.folder)], ["-o", str(place.folder / name)]))
            digest = str(place.sample.digest)
            done = subprocess.run(
                [
                    *("unshare", "-m", "sh", "-c", REBOOTED, str(boot)),
                    *(*self._command, "get", digest, *self._holders.some(self._rng), *target),
                ],
                capture_output=True,
                text=True,
                env=environment(PYTHONPATH=str(SOURCE)),
                timeout=LONGEST_SECONDS,
                check=False,
            )
            if done.returncode == 0:
                self.bad += [f"after the end: {each}" for each in place.finished()]
        return done.returncode, done.stderr.strip()

    def _measure(self, name: str) -> int:
        """How many steps a whole download takes."""
        disk = Disk()
        code, err = self._get(disk, name)
        if code:
            raise RuntimeError(err)
        return len(disk.steps)

    def _place(self, name: str) -> Place:
        [sample] = [each for each in self._holders.samples if each.name == name]
        return Place(self._folder / "disk" / NEW, sample, make=False)
