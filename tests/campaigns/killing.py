"""Kill downloads at random instants, again and again, and hold them to what they had proven."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from campaigns.holders import Holders, Sample
from campaigns.place import Place
from processes.peers import SOURCE, environment

from pirate.fetch.fetcher import OUTSTANDING
from pirate.policy.connections import CONNECTIONS

PIRATE = (sys.executable, "-m", "pirate")
NAIVE = (sys.executable, str(Path(__file__).with_name("naive.py")))

# A get of some tens of MiB that takes longer than this hangs.
LONGEST_SECONDS = 60.0

MOMENTS = ("any time", "recovering", "fetching", "publishing")
STATES = ("nothing", "below 1/3", "below 2/3", "below 1", "whole", "published")


class Killing:
    """One campaign. Everything random comes from ``rng``."""

    def __init__(
        self, holders: Holders, folder: Path, rng: Random, command: Sequence[str] = PIRATE
    ) -> None:
        """``folder`` must be on the file system under trial; ``command`` may be a naive one."""
        self._holders = holders
        self._folder = folder
        self._rng = rng
        self._command = command
        self._length = 0.5  # seconds that a whole get takes, from its start; measured as we go
        self.kills: Counter[str] = Counter()  # by moment
        self.states: Counter[str] = Counter()  # what was there when it was killed
        self.wrong: list[str] = []
        self.files = 0
        self.again = 0  # proven segments that were asked for again
        self.lost = 0  # segments that were asked for and not noted when a kill came
        self.asked_bytes = self.file_bytes = 0

    @property
    def total(self) -> int:
        """How many kills there were."""
        return self.kills.total()

    def run(self, kills: int, most_wrong: int = 10) -> bool:
        """Kill so often; whether nothing was wrong. Ends early if there is much wrong."""
        while self.total < kills and len(self.wrong) < most_wrong:
            self._file()
        return not self.wrong

    def _file(self) -> None:
        """One file: killed one to eight times, then left to its end."""
        sample = self._rng.choice(self._holders.samples)
        place = Place(self._folder / "place", sample)
        proven: set[int] = set()
        wrong = len(self.wrong)
        for _ in range(self._rng.randint(1, 8)):
            ended, proven = self._killed(place, proven)
            if ended or len(self.wrong) > wrong:
                break
        else:
            self._killed(place, proven, lives=True)
        self.files += 1
        self.file_bytes += len(sample.content)
        shutil.rmtree(place.folder)

    def _killed(
        self, place: Place, proven: set[int], *, lives: bool = False
    ) -> tuple[bool, set[int]]:
        """One run. Whether it came to its end, and what is proven now."""
        moment = self._rng.choice(MOMENTS)
        self._holders.asked.clear()
        arguments = ["get", str(place.sample.digest), *self._holders.some(self._rng), "--json"]
        target = self._rng.choice(
            (["-d", str(place.folder)], ["-o", str(place.folder / place.sample.name)])
        )
        process = subprocess.Popen(
            [*self._command, *arguments, *target],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(PYTHONPATH=f"{SOURCE}"),
        )
        began = time.monotonic()
        if not lives:
            self._wait(moment, place.sample.segments - len(proven), process)
            process.kill()
        out, err = process.communicate(timeout=LONGEST_SECONDS)
        if process.returncode != -signal.SIGKILL:
            self._length = (self._length + time.monotonic() - began) / 2
            self._judge_end(place, proven, process.returncode, out, err)
            return True, proven
        self.kills[moment] += 1
        return False, self._judge_kill(place, proven)

    def _wait(self, moment: str, missing: int, process: subprocess.Popen[bytes]) -> None:
        """Until the instant of the kill, or at most some time longer than a get should take."""
        uniform, asked = self._rng.uniform, self._holders.asked
        longest = max(1.0, 1.1 * self._length)
        match moment:
            case "recovering":
                asked.wait(chains=1, seconds=longest)
                seconds = uniform(0, 0.02)
            case "fetching":
                asked.wait(reads=self._rng.randint(0, missing), seconds=longest)
                seconds = uniform(0, 0.01)
            case "publishing":
                asked.wait(reads=missing, seconds=longest)
                seconds = uniform(0, 0.1)
            case _:
                seconds = uniform(0, 1.1 * self._length)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)

    def _judge_kill(self, place: Place, before: set[int]) -> set[int]:
        sample = place.sample
        asked = self._asked(sample, before)
        published, proven, wrong = place.look()
        if proven is None:
            whole = bool(before or asked) and place.whole()
            proven = set(range(sample.segments)) if whole else set()
        if lost := before - proven:
            wrong.append(f"{len(lost)} of {len(before)} proven segments are not noted any more")
        unnoted = asked - proven
        self.lost += len(unnoted)
        if len(unnoted) > OUTSTANDING * (CONNECTIONS + 2):
            wrong.append(f"{len(unnoted)} segments were asked for and not noted")
        state = 1 + int(3 * len(proven) / sample.segments) if proven or place.whole() else 0
        self.states["published" if published else STATES[state]] += 1
        self._report(place, wrong)
        return proven

    def _judge_end(self, place: Place, before: set[int], code: int, out: bytes, err: bytes) -> None:
        self._asked(place.sample, before)
        if code:
            last = (err or out).decode().strip().rpartition("\n")[2]
            self._report(place, [f"exit code {code}: {last}"])
            return
        wrong = place.finished()
        result = json.loads(out.splitlines()[-1])
        resumed, kept = result["resumed_bytes"], place.sample.bytes_of(before)
        if result["status"] == "downloaded" and resumed < kept:
            wrong.append(f"{resumed} bytes were resumed, {kept} were proven")
        self._report(place, wrong)

    def _asked(self, sample: Sample, before: set[int]) -> set[int]:
        """The segments that a run has asked for, none of which may have been proven before."""
        indexes = self._holders.indexes(sample)
        self.asked_bytes += sum(length for _, length in self._holders.asked.reads)
        again = before.intersection(indexes)
        self.again += len(again)
        if again:
            self.wrong.append(f"{len(again)} proven segments were asked for again")
        return set(indexes)

    def _report(self, place: Place, wrong: list[str]) -> None:
        self.wrong += [f"{place.sample.name}: {each}" for each in wrong[:3]]
