"""Every system call of one get as the point where it is killed, or where the call fails."""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple, Self

from campaigns import report
from campaigns.holders import Holders
from campaigns.killing import LONGEST_SECONDS, PIRATE
from campaigns.place import Place
from processes.peers import environment

# Five segments, fetched on two connections.
SIZE = 4 * 64 * 1024 + 1

# What a get does to files. Of `openat` and the like only those below the folder count.
CALLS = (
    *("openat", "flock", "newfstatat", "fstatfs", "pread64", "preadv", "pwrite64", "ftruncate"),
    *("fallocate", "fsync", "linkat", "unlinkat", "renameat", "mkdirat"),
)
ERRORS = ("ENOSPC", "EIO", "EROFS", "EMFILE")

# No get makes more calls of one kind in one thread.
MOST_CALLS = 100


class Way(NamedTuple):
    """How it is called; ``resumes`` what a killed run has left."""

    name: str
    named: bool = False
    flags: tuple[str, ...] = ()
    resumes: bool = False


PLAIN = Way("-d")
WAYS = (
    PLAIN,
    Way("-o", named=True),
    Way("overwrite", flags=("--if-exists", "overwrite")),
    Way("resumed", resumes=True),
)

# Where the run is killed that another one resumes: a few segments are noted then.
HALFWAY = "inject=pwrite64:signal=KILL:when=5"


class Ended(NamedTuple):
    """How a run under strace ended; ``hit`` if it came to the call."""

    hit: bool
    code: int
    err: str


class Syscalls:
    """Runs `get` again and again while the ``with`` block does, with strace at its calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holders = Holders(folder / "holders", [SIZE])
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._holders.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._holders.__exit__()

    def kill_at_each(self) -> bool:
        """Kill it as each call begins; whether nothing was wrong."""
        rows: list[tuple[object, ...]] = [("killed at", "points", "published", "wrong")]
        for way in WAYS:
            for call in CALLS:
                before, published, points = len(self.wrong), 0, 0
                for number, place in self._each():
                    if way.resumes:
                        self._run(place, HALFWAY, way)
                    ended = self._run(place, f"inject={call}:signal=KILL:when={number}", way)
                    if not ended.hit:
                        break
                    points += 1
                    published += self._judge_kill(place, f"{call} {number}", way)
                if points:
                    wrong = len(self.wrong) - before
                    rows.append((f"{call} {way.name}", points, published, wrong))
        report.table("every call as a kill point", rows)
        report.failures(self.wrong)
        return not self.wrong

    def fail_each(self) -> bool:
        """Let each call fail once; whether it was told in one line and healed by a re-run."""
        rows: list[tuple[object, ...]] = [("fails", "error", "points", "survived", "wrong")]
        for call in CALLS:
            for error in ERRORS:
                if error == "EMFILE" and call != "openat":
                    continue
                before, survived, points = len(self.wrong), 0, 0
                for number, place in self._each():
                    ended = self._run(place, f"inject={call}:error={error}:when={number}", PLAIN)
                    if not ended.hit:
                        break
                    points += 1
                    survived += ended.code == 0
                    self._judge_error(place, f"{call} {number} {error}", ended)
                if points:
                    rows.append((call, error, points, survived, len(self.wrong) - before))
        report.table("every call failing once", rows)
        report.failures(self.wrong)
        return not self.wrong

    def _each(self) -> Iterator[tuple[int, Place]]:
        for number in range(1, MOST_CALLS):
            shutil.rmtree(self._folder / "place", ignore_errors=True)
            yield number, Place(self._folder / "place", self._holders.samples[0])
        raise AssertionError(f"more than {MOST_CALLS} calls of a kind")

    def _get(self, place: Place, way: Way) -> list[str]:
        path = ("-o", str(place.folder / place.sample.name))
        target = path if way.named else ("-d", str(place.folder))
        arguments = ["get", str(place.sample.digest), "-q", *target, *way.flags]
        return [*PIRATE, *arguments, *self._holders.some(Random(0))]

    def _run(self, place: Place, inject: str, way: Way) -> Ended:
        """Run it under strace, which keeps to the folder and what lies in it."""
        log = self._folder / "strace.log"
        names = ("", *place.names)
        paths = [word for name in names for word in ("-P", str(place.folder / name))]
        done = subprocess.run(
            [
                *("strace", "-f", "-qq", "-o", str(log), *paths),
                *("-e", f"trace={inject.partition('=')[2].partition(':')[0]}", "-e", inject),
                *self._get(place, way),
            ],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=LONGEST_SECONDS,
            check=False,
        )
        told = log.read_text()
        hit = "(INJECTED)" in told or "+++ killed by SIGKILL" in told
        return Ended(hit, done.returncode, done.stderr)

    def _again(self, place: Place, what: str, way: Way) -> None:
        """The same command, left alone, must set everything right."""
        done = subprocess.run(
            self._get(place, way),
            capture_output=True,
            text=True,
            env=environment(),
            timeout=LONGEST_SECONDS,
            check=False,
        )
        if done.returncode:
            self.wrong.append(f"{what}, then: exit code {done.returncode}: {done.stderr.strip()}")
        self.wrong += [f"{what}, then: {each}" for each in place.finished()]

    def _judge_kill(self, place: Place, what: str, way: Way) -> bool:
        published, proven, wrong = place.look()
        self.wrong += [f"{what}: {each}" for each in wrong]
        self._holders.asked.clear()
        self._again(place, what, way)
        again = (proven or set()).intersection(self._holders.indexes(place.sample))
        if again:
            self.wrong.append(f"{what}: {len(again)} proven segments were asked for again")
        return published

    def _judge_error(self, place: Place, what: str, ended: Ended) -> None:
        self.wrong += [f"{what}: {each}" for each in place.look().wrong]
        pattern = r"pirate: local_io: [^\n]*; [^\n]*\n"
        if ended.code and (ended.code != 8 or not re.fullmatch(pattern, ended.err)):
            self.wrong.append(f"{what}: exit code {ended.code}: {ended.err.strip()}")
        self._again(place, what, PLAIN)


def available() -> bool:
    """Whether strace is here and may trace."""
    with contextlib.suppress(OSError):
        return subprocess.run(["strace", "-qq", "true"], check=False).returncode == 0
    return False
