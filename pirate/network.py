"""The other peers, as one command sees them, and how this process introduces itself."""

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from pirate import __version__, discovery
from pirate.acquaintances import AT_HOME, Acquaintances, Home
from pirate.config import Settings
from pirate.deadline import Deadline
from pirate.disk.identity import new_peer_id, running
from pirate.disk.state import State
from pirate.errors import DeniedError, NoNetworkError
from pirate.model import Address, Known, Peer, PeerId
from pirate.net.dial import Dialer
from pirate.net.ways import Ways
from pirate.registry.static import StaticRegistry
from pirate.registry.union import UnionRegistry
from pirate.roster import Roster, Snapshot, announced
from pirate.wire.messages import NEWEST_VERSION, OLDEST_VERSION, Hello

# How long a command waits for the registries; less if it knows whom to ask without them.
REGISTRY_SECONDS = 3.0
IMPATIENT_SECONDS = 1.0

# So soon the registries are not asked again, or if they have failed: `get -i` would for every
# file.
FRESH_SECONDS = 1.0
FAILED_SECONDS = 5.0


def new_hello(name: str = "", peer: PeerId | None = None) -> Hello:
    """How this process introduces itself: the versions, no features yet, a young id if none."""
    agent = f"pirate/{__version__} {sys.platform}"
    return Hello(OLDEST_VERSION, NEWEST_VERSION, 0, peer or new_peer_id(), name, agent)


class Memory:
    """The peers of the network that the settings name, from one run to the next."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._state = state
        self._network = "etcd " + ",".join(sorted(map(str, settings.etcd)))

    def recall(self) -> Known:
        """Whom some earlier run knew last."""
        from pirate.disk.remembered import remembered  # noqa: PLC0415 - 4 ms, seldom needed

        return remembered(self._state, self._network)

    @property
    def kept(self) -> bool:
        """Whether some earlier run has kept anybody."""
        from pirate.disk.remembered import is_kept  # noqa: PLC0415 - likewise

        return is_kept(self._state, self._network)

    def keep(self, roster: Roster) -> None:
        """Remember whom the registry has told of, if it has."""
        snapshot, age = roster.snapshot, roster.age
        if math.isfinite(age) and not snapshot.problem and (peers := announced(snapshot.peers)):
            from pirate.disk.remembered import remember  # noqa: PLC0415 - static peers need none

            remember(self._state, self._network, peers, time.time() - age)


class Network:
    """The other peers, as one command sees them. Close it, or use it as a context manager.

    They are looked for in one place after the other, the quickest first: the serve of this
    machine, etcd and the named peers, then mDNS and the peers of peers. The next one is opened
    when ``widen`` is called, or when there is nobody in those before.
    """

    def __init__(
        self, settings: Settings, only: tuple[Address, ...] = (), *, refresh: bool = False
    ) -> None:
        """``only`` these peers, if any are named, and no registry; ``refresh``: no serve of ours.

        The command's time runs from here on: ``deadline``.
        """
        self.deadline = Deadline.within(settings.timeout)
        self.dialer = Dialer(
            new_hello(),
            connect=settings.connect_timeout,
            stall=settings.stall_timeout,
            ways=Ways((*settings.peers, *only), settings.networks),
        )
        state = State(settings.state)
        self._memory = Memory(settings, state)
        self._registry = UnionRegistry()
        self._roster = Roster(self._registry, recall=self._memory.recall)
        self._uses_etcd = discovery.uses_etcd(settings)
        self._next = -math.inf
        self._widened = 0
        self._home: tuple[Address, ...] = ()
        places = [discovery.named(settings), discovery.around(settings)]
        if only:
            places = [[lambda: StaticRegistry(only)]]
        elif introducers := discovery.introducers(settings):
            places[1].append(lambda: Acquaintances(self.dialer, introducers))
        elif not refresh and discovery.unspecific(settings) and (home := tuple(running(state))):
            self._home = home
            places.insert(0, [lambda: Home(self.dialer, home)])
        self._places = deque(place for place in places if place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dialer.close()
        self._memory.keep(self._roster)
        self._registry.close()

    @property
    def kind(self) -> str:
        """The kinds of the registries that were asked, as in "etcd+static"."""
        return self._registry.kind

    @property
    def snapshot(self) -> Snapshot:
        """Who is out there, as far as ``peers`` has found out."""
        return self._roster.snapshot

    @property
    def age(self) -> float:
        """Seconds since the registries last gave their whole answer; ``math.inf`` if never."""
        return self._roster.age

    @property
    def homes(self) -> tuple[Peer, ...]:
        """Each serve of this machine, if nobody else has told of the peers."""
        if not all(peer.via == (AT_HOME,) for peer in self._roster.peers):
            return ()
        return tuple(Peer((address,)) for address in self._home)

    def widen(self) -> bool:
        """Look in one more place from now on; False if there is none left."""
        if not self._places:
            return False
        self._registry.add(*(opened() for opened in self._places.popleft()))
        self._next = -math.inf
        self._widened += 1
        return True

    def widening(self) -> Callable[[], bool]:
        """``widen`` for one search of several: what another has opened since is more for it."""
        seen = self._widened

        def widen() -> bool:
            nonlocal seen
            more = self._widened > seen or self.widen()
            seen = self._widened
            return more

        return widen

    def everybody(self) -> tuple[Peer, ...]:
        """All peers that can be found anywhere; NoNetworkError if nothing can be said.

        Where the user named nothing, the serve of this machine knows them all.
        """
        if self._home and (peers := self.peers()):
            return peers
        while self.widen():
            pass
        return self.peers()

    def peers(self) -> tuple[Peer, ...]:
        """Whom to ask first; NoNetworkError if nothing can be said."""
        if not self._registry.parts and not self.widen():
            raise NoNetworkError("no peer is named, and none is looked for")
        snapshot = self._look()
        while not snapshot.peers and self.widen():
            snapshot = self._look()
        if snapshot.problem and not snapshot.peers:
            if isinstance(snapshot.problem, DeniedError):
                raise snapshot.problem
            raise NoNetworkError(str(snapshot.problem)) from snapshot.problem
        return snapshot.peers

    def _look(self) -> Snapshot:
        """The roster, asked for anew unless that has just been done."""
        if time.monotonic() < self._next:
            return self.snapshot
        knows = self._uses_etcd and self._memory.kept
        seconds = IMPATIENT_SECONDS if knows else REGISTRY_SECONDS
        seconds = min(seconds, self.deadline.left / 2)  # the peers have to be asked, too
        snapshot = self._roster.refresh(self.deadline.at_most(seconds))
        self._next = time.monotonic() + (FAILED_SECONDS if snapshot.problem else FRESH_SECONDS)
        return snapshot
