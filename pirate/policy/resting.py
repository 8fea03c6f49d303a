"""What has changed, and for how long it has to be left alone before that is worth a look."""

import heapq
from typing import Generic, TypeVar

Key = TypeVar("Key")

# Nobody writes this slowly who has not made a pause.
REST_SECONDS = 0.3

# Who writes with pauses is looked at after ever longer ones: a file that grows all day would
# else be read all day.
LONGEST_SECONDS = 30.0


class Resting(Generic[Key]):
    """Things that change, each given out once it has rested."""

    def __init__(self) -> None:
        """Nothing has changed."""
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []  # may be early or too many, never late
        self._count = 0  # tells entries of one time apart, since keys may not compare
        self._growing: dict[Key, float] = {}  # given out while it was written; the next rest

    def touch(self, key: Key, now: float, *, writing: bool = False) -> None:
        """It changes. ``writing``: whoever does that has not said yet that this was all."""
        seconds = REST_SECONDS
        if writing:
            seconds = self._growing.setdefault(key, REST_SECONDS)
        else:
            self._growing.pop(key, None)
        before = self._due.get(key)
        self._due[key] = due = now + seconds
        if before is None or due < before:
            self._push(due, key)

    def rested(self, now: float) -> list[Key]:
        """What has come to rest by now; it is forgotten here."""
        rested = []
        while self._heap and self._heap[0][0] <= now:
            _, _, key = heapq.heappop(self._heap)
            due = self._due.get(key)
            if due is None:
                continue
            if due > now:
                self._push(due, key)
                continue
            del self._due[key]
            rested.append(key)
            if key in self._growing:
                self._growing[key] = min(2 * self._growing[key], LONGEST_SECONDS)
        return rested

    def due(self) -> float | None:
        """When it is worth to ask ``rested`` again; None if nothing changes."""
        return self._heap[0][0] if self._heap else None

    def _push(self, due: float, key: Key) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
