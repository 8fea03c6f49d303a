"""The files of a list: what each is and where it goes, and which are there already."""

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pirate.disk.partfile import sweep
from pirate.disk.place import Parts
from pirate.disk.tree import PART_SUFFIX
from pirate.errors import PirateError, StoppedError
from pirate.fetch.batch import Folders
from pirate.fetch.target import Folder, IfExists, Target, Verdict
from pirate.fetch.terms import Received
from pirate.model import Digest
from pirate.scope import Scope, Stop


class Wish(NamedTuple):
    """One file: what it is, the folder below the root, and its name, if that was given."""

    digest: Digest
    parts: Parts
    name: str | None


class Outcome(NamedTuple):
    """What has become of the wish with this number: a file at ``path``, or an error."""

    number: int
    verdict: Verdict | None
    path: str
    received: Received
    error: PirateError | None = None


def failure(number: int, error: PirateError) -> Outcome:
    """It has failed."""
    return Outcome(number, None, "", Received(), error)


class Wishes:
    """A list of files, numbered from 0, and the folders that they go to. For many threads."""

    def __init__(self, wishes: Sequence[Wish], root: str, if_exists: IfExists) -> None:
        self._wishes = wishes
        self._root = root
        self._if_exists = if_exists
        self._lock = threading.Lock()  # guards _names
        self._names: dict[int, str] = {}  # those that differ, or that a holder gave
        self.folders = Folders(root)

    def __getitem__(self, number: int) -> Wish:
        return self._wishes[number]

    def __len__(self) -> int:
        return len(self._wishes)

    def named(self, number: int) -> bool:
        """Whether it is known what a file will be called."""
        return bool(self._wishes[number].name) or number in self._names

    def target(self, number: int, folder: Folder) -> Target:
        """Where a file ends: in ``folder``, which is its own."""
        _, parts, name = self._wishes[number]
        with self._lock:
            name = self._names.get(number, name)
        return Target(self._root, parts, name, self._if_exists, folder=folder)

    def begun(self, number: int) -> bool:
        """Whether there is a part file already, from an earlier run or of another process."""
        digest, parts, _ = self._wishes[number]
        part = f".{digest}{PART_SUFFIX}"
        return os.path.lexists(os.path.join(self._root, *parts, part))  # noqa: PTH118

    def judge(self, number: int, name: str | None) -> Outcome | None:
        """Why a file of this name is not to be fetched, or None; notes what it is called then."""
        digest, parts, _ = self._wishes[number]
        try:
            folder = self.folders.take(parts)
        except PirateError as error:
            return failure(number, error)
        try:
            target = Target(self._root, parts, name, self._if_exists, folder=folder)
            verdict = target.judge(digest)
            if verdict is Verdict.WANTED:
                with self._lock:
                    self._names[number] = target.name or ""
                return None
            received = Received()
            if verdict is Verdict.PRESENT:
                received.size = target.size
                sweep(folder.file, digest)
            return Outcome(number, verdict, target.path, received)
        except PirateError as error:
            return failure(number, error)
        finally:
            self.folders.give_back(parts)

    def judge_all(self, stop: Stop) -> Iterator[Outcome]:
        """Tell of all whose names are taken, but for those that are to be fetched all the same.

        They have to be read for that, so a thread on each core does. Raises StoppedError.
        """
        taken: queue.SimpleQueue[int] = queue.SimpleQueue()
        outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        for number, (_, parts, name) in enumerate(self._wishes):
            if name and os.path.lexists(os.path.join(self._root, *parts, name)):  # noqa: PTH118
                taken.put(number)
        count = taken.qsize()
        with Scope(stop) as scope, scope.stop.waking(lambda: outcomes.put(None)):
            for number in range(min(os.cpu_count() or 1, count)):
                scope.spawn(f"judge {number}", lambda: self._judge(taken, outcomes, scope.stop))
            for _ in range(count):
                outcome = outcomes.get()
                if stop.is_set:
                    raise StoppedError("stopped")
                if outcome:
                    yield outcome

    def _judge(
        self,
        taken: "queue.SimpleQueue[int]",
        outcomes: "queue.SimpleQueue[Outcome | None]",
        stop: Stop,
    ) -> None:
        while not stop.is_set:
            try:
                number = taken.get_nowait()
            except queue.Empty:
                return
            outcomes.put(self.judge(number, self._wishes[number].name))
