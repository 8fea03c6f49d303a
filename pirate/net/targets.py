"""Which targets may be dialled now, for all threads that dial."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from pirate.deadline import Clock, Deadline
from pirate.model import Address, PeerId
from pirate.net.connect import Runner
from pirate.net.ways import Way
from pirate.policy.shun import Outcome, Shun, Verdict
from pirate.scope import Stop

# Dials that are left half-way; each costs a descriptor.
MOST_HALVES = 64

# A server waits for 5 s until a connection has introduced itself.
HALF_SECONDS = 4.0


class Claim(NamedTuple):
    """What to dial now, what to claim later, and what is not to be dialled, and why."""

    now: list[Way]
    later: list[Way]
    never: list[tuple[Way, Verdict]]


class Targets:
    """Lets one thread at a time dial a target, and nobody one that is shunned.

    A dial that was left half-way, since another peer was faster with what was wanted, is kept
    and goes on with the next who wants the same target. Otherwise every quick answer would
    cost an innocent victim of a poisoned registry one more connection.
    """

    def __init__(self, clock: Clock) -> None:
        self._shun = Shun(clock)
        self._freed = threading.Condition()  # guards all of this
        self._halves: OrderedDict[Address, Runner] = OrderedDict()

    def claim(self, ways: Sequence[Way], deadline: Deadline, stop: Stop) -> Claim:
        """Take those that are free; if none is, wait until one is. Each has to be released."""

        def wake() -> None:
            with self._freed:
                self._freed.notify_all()

        with self._freed, stop.waking(wake):
            never: list[tuple[Way, Verdict]] = []
            while True:
                claim = self._judge(ways)
                never += claim.never
                over = stop.is_set or deadline.passed
                if claim.now or over or not claim.later:
                    return claim._replace(never=never)
                self._freed.wait(min(deadline.left, threading.TIMEOUT_MAX))
                ways = claim.later

    def half(self, target: Address) -> Runner | None:
        """A dial of this target, which the caller has claimed, that was left half-way."""
        with self._freed:
            return self._halves.pop(target, None)

    def release(
        self, way: Way, outcome: Outcome, met: PeerId | None = None, half: Runner | None = None
    ) -> None:
        """Give a claimed way back, with how it ended."""
        with self._freed:
            self._shun.end(way.target, outcome, met=met, wanted=way.wanted)
            if half:
                self._halves[way.target] = half
                if len(self._halves) > MOST_HALVES:
                    self._settle(next(iter(self._halves)))
            self._freed.notify_all()

    def close(self) -> None:
        """Close what was left half-way."""
        with self._freed:
            while self._halves:
                self._halves.popitem()[1].close()

    def _judge(self, ways: Sequence[Way]) -> Claim:
        claim = Claim([], [], [])
        for way in ways:
            half = self._halves.get(way.target)
            if half and half.age > HALF_SECONDS and not self._shun.busy(way.target):
                self._settle(way.target)
            verdict = self._verdict(way)
            if verdict is Verdict.GO:
                self._shun.begin(way.target)
                claim.now.append(way)
            elif verdict is Verdict.WAIT:
                claim.later.append(way)
            else:
                claim.never.append((way, verdict))
        return claim

    def _verdict(self, way: Way) -> Verdict:
        if way.wanted is not None:
            return self._shun.judge(way.target, way.wanted)
        return Verdict.WAIT if self._shun.busy(way.target) else Verdict.GO

    def _settle(self, target: Address) -> None:
        """Make of a half dial what it has come to; it is never one that is under way."""
        half = self._halves.pop(target)
        if not self._shun.busy(target):
            self._shun.begin(target)
            self._shun.end(target, half.outcome())
        half.close()
