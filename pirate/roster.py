"""Who is out there: the last snapshot of the registry, and the heartbeat that renews it."""

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pirate.deadline import Clock, Deadline
from pirate.errors import ClashError, DeniedError, RegistryError
from pirate.model import HEARSAY, REMEMBERED, Announcement, Known, Peer, PeerId
from pirate.policy.backoff import RENEWALS_PER_LEASE, Backoff, heartbeat_interval
from pirate.registry.base import Registry
from pirate.registry.union import merge
from pirate.scope import Stop

log = logging.getLogger(__name__)

# One beat is two steps, and between them it looks at the stop: a frozen registry holds up the
# end for one step and the short withdrawal, 1.3 s.
STEP_SECONDS = 1.0
FIRST_RETRY_SECONDS = 0.2
MOST_RETRY_SECONDS = 1.0
WITHDRAW_SECONDS = 1.0
WITHDRAW_FROM_LOST_SECONDS = 0.3
LEAST_INTERVAL_SECONDS = 1.0

# What changes within this time is seen in one look, so a stream of changes costs ten a second.
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The peers as they were known at ``taken``, on the roster's clock.

    ``problem`` is why the registry has not given its whole answer since; then they are stale,
    and so is what is known before the registry was ever asked.
    """

    peers: tuple[Peer, ...] = ()
    taken: float = -math.inf
    problem: RegistryError | None = None

    @property
    def stale(self) -> bool:
        """Whether there may be peers that we do not know, or known ones that are gone."""
        return self.problem is not None or self.taken == -math.inf


class Roster:
    """Our last snapshot of the peers in ``registry``, without ourselves if ``me`` is given.

    One thread refreshes it, and changes ``me``; any thread reads it, without a lock.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        me: PeerId | None = None,
        recall: Callable[[], Known] = Known,
        clock: Clock = time.monotonic,
    ) -> None:
        """``recall`` is called once, and only if the registry cannot tell who is there."""
        self.me = me
        self.refreshed = threading.Event()  # set whenever the registry gives its whole answer
        self._recall = recall
        self._before: Snapshot | None = None  # what holds until it does
        self._registry = registry
        self._clock = clock
        self._snapshot = Snapshot()

    @property
    def kind(self) -> str:
        """The name of the registry behind it."""
        return self._registry.kind

    @property
    def snapshot(self) -> Snapshot:
        """What we know now, all of one moment."""
        return self._snapshot

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The peers that we know now."""
        return self._snapshot.peers

    @property
    def problem(self) -> RegistryError | None:
        """Why the registry did not give its whole answer the last time; None if it did."""
        return self._snapshot.problem

    @property
    def age(self) -> float:
        """Seconds since the registry last gave its whole answer; ``math.inf`` if never."""
        return self._clock() - self._snapshot.taken

    def known(self, ours: Announcement) -> Known:
        """What to tell who asks whom we know: ``ours``, and those who announce themselves.

        Not the peers of peers: one that is gone would live on in hearsay.
        """
        snapshot = self._snapshot
        announcements = announced(snapshot.peers, ours)
        return Known(announcements, self._clock() - snapshot.taken, snapshot.stale)

    def refresh(self, deadline: Deadline) -> Snapshot:
        """Ask the registry. If it fails the peers stay, and the snapshot says why: no raise."""
        problem: RegistryError | None
        try:
            listed, problem = self._registry.peers(deadline), self._registry.problem
        except RegistryError as error:
            listed, problem = self._snapshot.peers, error
        if problem:
            before = self._remembered(problem)
            listed = merge((listed, before.peers)) if before.peers else listed
        else:
            self._before = before = Snapshot((), self._clock())
        peers = tuple(peer for peer in listed if peer.id is None or peer.id != self.me)
        self._snapshot = Snapshot(peers, before.taken, problem)
        if not problem:
            self.refreshed.set()
        return self._snapshot

    def _remembered(self, problem: RegistryError) -> Snapshot:
        """Whom we knew in an earlier run, until the registry has once given its whole answer.

        If it refuses us, then nobody: that has to be seen to, and not be covered up.
        """
        if not self._before:
            if isinstance(problem, DeniedError):
                return Snapshot()
            known = self._recall()
            self._before = Snapshot(known.peers(REMEMBERED), self._clock() - known.age)
        return self._before


def announced(peers: Iterable[Peer], *ours: Announcement) -> tuple[Announcement, ...]:
    """What those of them announce who do it where we look, and ours, ascending by id."""
    found = {
        peer.announcement.id: peer.announcement
        for peer in peers
        if peer.announcement and peer.via != (HEARSAY,)
    }
    found |= {announcement.id: announcement for announcement in ours}
    return tuple(found[key] for key in sorted(found))


class Heartbeat:
    """Announces us again and again, and refreshes ``roster`` each time and when others change.

    ``announcement`` is called for every heartbeat and tells what holds then. ``announced`` is
    set while the registry has our last announcement. ``clashed`` is called if another peer
    has our id, and makes ``announcement`` tell a new one, which is announced at once. The
    thread of ``run`` owns ``registry`` and closes it at the end.
    """

    def __init__(
        self,
        registry: Registry,
        roster: Roster,
        announcement: Callable[[], Announcement],
        ttl: float,
        *,
        clashed: Callable[[], None] | None = None,
    ) -> None:
        self.announced = threading.Event()
        self._registry = registry
        self._roster = roster
        self._announcement = announcement
        self._clashed = clashed
        self._ttl = ttl
        self._rng = random.SystemRandom()
        self._retries = Backoff(
            FIRST_RETRY_SECONDS, min(MOST_RETRY_SECONDS, ttl / RENEWALS_PER_LEASE), self._rng
        )
        self._woken = threading.Event()
        self._poked = self._outdated = False
        self._problem: RegistryError | None = None

    def poke(self) -> None:
        """Announce at once, since something changed; from any thread.

        "At once" is a second after the last heartbeat at the earliest, so that a folder that
        changes all the time does not drown the registry.
        """
        self._poked = True
        self._woken.set()

    def run(self, stop: Stop) -> None:
        """Beat until ``stop``, then withdraw; a thread's body."""
        try:
            self._registry.watch(self._see)
            with stop.waking(self._woken.set):
                while not stop.is_set:
                    self._poked = self._outdated = False
                    self._note(self._beat(stop))
                    self._rest(stop)
        finally:
            self._leave()

    def _beat(self, stop: Stop) -> RegistryError | None:
        """Announce and refresh; give what went wrong, if anything did."""
        problem = None
        try:
            self._announce(Deadline(STEP_SECONDS))
        except RegistryError as error:
            self.announced.clear()
            problem = error
        else:
            self.announced.set()
        if not stop.is_set:
            self._roster.refresh(Deadline(STEP_SECONDS))
        return problem or self._roster.problem

    def _announce(self, deadline: Deadline) -> None:
        """Announce what holds now; after a clash once more, under the id that we have then."""
        try:
            self._registry.announce(self._announcement(), deadline)
        except ClashError as error:
            if not self._clashed:
                raise
            self._clashed()
            announcement = self._announcement()
            log.warning("%s; this node is %s from now on", error, announcement.id)
            self._roster.me = announcement.id
            self._registry.announce(announcement, deadline)

    def _note(self, problem: RegistryError | None) -> None:
        """Remember how the last beat went, and log when that changes."""
        if problem and not self._problem:
            log.warning("lost the registry (%s): %s", self._registry.kind, problem)
        elif self._problem and not problem:
            log.warning("the registry (%s) is back", self._registry.kind)
        self._problem = problem

    def _rest(self, stop: Stop) -> None:
        """Wait for the next beat: until it is due, or we are poked, or it is over."""
        if isinstance(self._problem, DeniedError):  # etcd pays much for every login
            delay = heartbeat_interval(self._ttl, self._rng)
        elif self._problem:
            delay = self._retries.next()
        else:
            self._retries.reset()
            delay = heartbeat_interval(self._ttl, self._rng)
        began = time.monotonic()
        least = min(delay, LEAST_INTERVAL_SECONDS)
        while not stop.is_set:
            left = began + (least if self._poked else delay) - time.monotonic()
            if left <= 0 or (self._outdated and self._look()):
                return
            self._woken.wait(left)
            self._woken.clear()
            stop.wait(min(LOOK_SECONDS, left))

    def _see(self) -> None:
        """The registry has something new to tell; from any thread."""
        self._outdated = True
        self._woken.set()

    def _look(self) -> bool:
        """Refresh the roster; whether that told that the registry, which was well, is not."""
        self._outdated = False
        problem = self._roster.refresh(Deadline(STEP_SECONDS)).problem
        if not problem or self._problem:
            return False
        self._note(problem)
        return True

    def _leave(self) -> None:
        """Withdraw and close. From a registry that is lost we do not part for long."""
        self.announced.clear()
        seconds = WITHDRAW_FROM_LOST_SECONDS if self._problem else WITHDRAW_SECONDS
        try:
            self._registry.withdraw(Deadline(seconds))
        except RegistryError as error:
            log.info("not withdrawn, so others see us until the lease runs out: %s", error)
        finally:
            self._registry.close()
