"""Many gets of one file to one target at once: one works, the others say so, the one is killed."""

import contextlib
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

from campaigns.holders import Holders
from campaigns.place import Place
from processes.peers import Running, pirate, until

BUSY = 12

# So many starts on a machine with two cores take their time.
LONGEST_SECONDS = 120.0

ENDS = ("killed", "busy", "finished")


class Rivals:
    """One campaign. Everything random comes from ``rng``."""

    def __init__(
        self, holders: Holders, folder: Path, rng: Random, naive: Sequence[str] = ()
    ) -> None:
        """``holders`` should be slow enough that a download outlasts the start of a process.

        ``naive`` runs the gets, if they are careless ones.
        """
        self._holders = holders
        self._folder = folder
        self._rng = rng
        self._naive = naive
        self.ends: Counter[str] = Counter()
        self.files = 0  # that were right in the end
        self.wrong: list[str] = []

    def run(self, rounds: int, starts: int) -> bool:
        """So many rounds of so many starts; whether nothing was wrong."""
        for _ in range(rounds):
            self._round(starts)
        return not self.wrong

    def _round(self, starts: int) -> None:
        sample = self._rng.choice(self._holders.samples)
        place = Place(self._folder / "place", sample)
        target = self._rng.choice(
            (["-d", str(place.folder)], ["-o", str(place.folder / sample.name)])
        )
        get = ("get", sample.digest, *self._holders.all(), *target)
        self._holders.asked.clear()
        with ExitStack() as stack:
            started = [
                stack.enter_context(Running(*get, prefix=self._naive)) for _ in range(starts)
            ]
            killed = self._kill_who_works(place, started)
            ends = [each.ends(LONGEST_SECONDS) for each in started]
        wrong = place.misnamed()
        for each, done in zip(started, ends, strict=True):
            if each is killed:
                self.ends["killed"] += 1
            elif done.code == BUSY and "busy" in done.err:
                self.ends["busy"] += 1
            elif done.code == 0:
                self.ends["finished"] += 1
            else:
                wrong.append(f"exit code {done.code}: {done.err.strip()}")
        last = pirate(*get)
        if last.code:
            wrong.append(f"afterwards: exit code {last.code}: {last.err.strip()}")
        wrong += place.finished()
        self.files += not wrong
        self.wrong += [f"{sample.name}: {each}" for each in wrong[:3]]
        shutil.rmtree(place.folder)

    def _kill_who_works(self, place: Place, started: list[Running]) -> Running | None:
        """At a random instant of its download; None if it has come to its end before."""
        part = place.folder / place.names[1]
        until(lambda: _locker(part, started) is not None, LONGEST_SECONDS)
        segments = place.sample.segments
        self._holders.asked.wait(reads=self._rng.randint(0, segments), seconds=LONGEST_SECONDS / 4)
        time.sleep(self._rng.uniform(0, 0.02))
        winner = _locker(part, started)
        if winner:
            winner.send(signal.SIGKILL)
            winner.process.wait()
        # It may have ended just before.
        return winner if winner and winner.process.returncode == -signal.SIGKILL else None


def _locker(part: Path, started: list[Running]) -> Running | None:
    """Which of them holds the lock of a part file."""
    with contextlib.suppress(FileNotFoundError):
        inode = part.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "->" not in fields and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
                for each in started:
                    if each.process.pid == int(fields[4]):
                        return each
    return None
