"""Where the workers of many small files take what to ask for, and bring what has come."""

import threading
import time
from collections import deque
from collections.abc import Iterator

from pirate.disk.names import safe_name
from pirate.disk.partfile import PartFile
from pirate.errors import BusyError, ExistsError, PeerError, PirateError, RefusedError
from pirate.fetch.batch import Batch, Landed
from pirate.fetch.terms import Received
from pirate.fetch.wishes import Outcome, Wishes, failure
from pirate.model import Digest, Entry
from pirate.policy.tour import Tours


class Desk:
    """Safe to use from any thread. Holders are numbers here."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self.batch = Batch()  # of those who ask now
        self._lock = threading.Lock()  # guards all below
        self._tours = Tours(len(wishes))
        self._told: deque[Outcome] = deque()
        self._later: list[int] = []
        self._doubtful: set[int] = set()
        self._brought: dict[int, int] = {}  # by holders, in bytes

    @property
    def left(self) -> int:
        """How many are not settled."""
        return self._tours.left

    @property
    def told(self) -> Iterator[Outcome]:
        """What there is to tell of files that need no publishing."""
        while self._told:
            yield self._told.popleft()

    @property
    def later(self) -> list[int]:
        """What is to be tried in another way, in its order."""
        return sorted(self._later)

    def settle(self, outcome: Outcome) -> Outcome:
        """Nobody is to be asked for this one."""
        with self._lock:
            self._tours.settle(outcome.number)
        return outcome

    def postpone(self, number: int) -> None:
        """Nobody is to be asked for this one here."""
        with self._lock:
            self._tours.settle(number)
            self._later.append(number)

    def postpone_rest(self, *, only_doubtful: bool = False) -> None:
        """Nor for any of the others, or of those that somebody has and did not give."""
        for number in list(self._tours.open):
            if not only_doubtful or number in self._doubtful:
                self.postpone(number)

    def missing(self) -> list[int]:
        """What is not settled."""
        with self._lock:
            return list(self._tours.open)

    def join(self, holder: int) -> int:
        """A holder is asked from now on; gives how many bytes it has brought before."""
        with self._lock:
            self._tours.join(holder)
            return self._brought.get(holder, 0)

    def leave(self, holder: int) -> int:
        """It is asked no more, for now; gives how many bytes it has brought."""
        with self._lock:
            self._tours.leave(holder)
            return self._brought.get(holder, 0)

    def digest(self, number: int) -> Digest:
        """What a file is asked for by."""
        return self._wishes[number].digest

    def take(self, holder: int, most: int) -> list[int]:
        """What to ask a holder for next."""
        with self._lock:
            return self._tours.take(holder, most, time.monotonic())

    def over(self, holder: int) -> bool:
        """Whether there is nothing more to ask it."""
        with self._lock:
            return self._tours.over(holder)

    def refused(self, holder: int, number: int, error: PeerError) -> None:
        """It does not give this one."""
        with self._lock:
            self._tours.refuse(holder, number)
            if not (isinstance(error, RefusedError) and error.code == "not_found"):
                self._doubtful.add(number)

    def wants(self, number: int, entry: Entry) -> bool:
        """Whether it is to be fetched here, now that its name is known."""
        if self._wishes.begun(number):
            self.postpone(number)
            return False
        if self._wishes.named(number):
            return True
        outcome = self._wishes.judge(number, safe_name(entry.names[0]))
        if outcome:
            self._told.append(self.settle(outcome))
        return outcome is None

    def bring(self, holder: int, number: int, data: memoryview, received: Received) -> None:
        """All of a file, proven."""
        batch = self.batch
        if not batch.room():
            return
        with self._lock:
            self._brought[holder] = self._brought.get(holder, 0) + max(1, len(data))
            if not self._tours.settle(number):
                return
        try:
            batch.put(self._landed(number, data, received))
        except (BusyError, ExistsError):
            self.postpone(number)
        except PirateError as error:
            self._told.append(failure(number, error))

    def _landed(self, number: int, data: memoryview, received: Received) -> Landed:
        """It is written to a part file, and nothing else."""
        digest, parts, _ = self._wishes[number]
        folder = self._wishes.folders.take(parts)
        try:
            part = _new_part(folder.file, digest)
            try:
                part.write(data, 0)
            except BaseException:
                part.drop()
                raise
            return Landed(number, parts, self._wishes.target(number, folder), part, received)
        except BaseException:
            self._wishes.folders.give_back(parts)
            raise


def _new_part(folder: int, digest: Digest) -> PartFile:
    """An empty part file. Raises BusyError if somebody has begun with it meanwhile."""
    part = PartFile(folder, digest)
    if part.size:
        with part:
            raise BusyError("there is some of it already")
    return part
