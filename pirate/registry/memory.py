"""A registry in this process: the fake for tests, and the reference for what the others do."""

import threading
import time
from collections.abc import Callable

from pirate.deadline import Clock, Deadline
from pirate.errors import RegistryError
from pirate.model import Announcement, Peer, PeerId


class MemoryNetwork:
    """What all handles on one memory registry share. Safe to use from any thread."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        """While ``down`` is true, whatever a handle does raises RegistryError."""
        self.down = False
        self._clock = clock
        self._lock = threading.Lock()  # guards _leases
        self._leases: dict[PeerId, tuple[Announcement, float]] = {}
        self._watchers: tuple[Callable[[], None], ...] = ()

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` after every change from now on, but for leases that run out."""
        self._watchers = (*self._watchers, changed)

    def put(self, announcement: Announcement, ttl: float) -> None:
        """Keep ``announcement`` for ``ttl`` seconds."""
        self._answer()
        with self._lock:
            self._leases[announcement.id] = (announcement, self._clock() + ttl)
        self._tell()

    def drop(self, peer_id: PeerId) -> None:
        """Forget one announcement."""
        self._answer()
        with self._lock:
            self._leases.pop(peer_id, None)
        self._tell()

    def wipe(self) -> None:
        """Forget everything, as an etcd that lost its disk does."""
        with self._lock:
            self._leases.clear()
        self._tell()

    def announcements(self) -> tuple[Announcement, ...]:
        """What is announced now."""
        self._answer()
        now = self._clock()
        with self._lock:
            return tuple(announced for announced, end in self._leases.values() if now < end)

    def _tell(self) -> None:
        for changed in self._watchers:
            changed()

    def _answer(self) -> None:
        if self.down:
            raise RegistryError("the memory registry is down")


class MemoryRegistry:
    """One peer's handle on a ``MemoryNetwork``."""

    kind = "memory"
    problem: RegistryError | None = None

    def __init__(self, network: MemoryNetwork, ttl: float = 15.0) -> None:
        self._network = network
        self._ttl = ttl
        self._announced: PeerId | None = None

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """See ``Registry``."""
        if self._announced not in (None, announcement.id):
            self.withdraw(deadline)
        self._network.put(announcement, self._ttl)
        self._announced = announcement.id

    def withdraw(self, deadline: Deadline) -> None:  # noqa: ARG002 - it never waits
        """See ``Registry``."""
        if self._announced:
            self._network.drop(self._announced)
            self._announced = None

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:  # noqa: ARG002
        """See ``Registry``."""
        return tuple(Peer.announced(each, self.kind) for each in self._network.announcements())

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``Registry``."""
        self._network.watch(changed)

    def close(self) -> None:
        """See ``Registry``."""
