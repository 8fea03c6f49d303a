"""The other peers, as one command sees them, and how this process introduces itself."""

import math
import sys
import time
from functools import cached_property
from typing import Self

from pirate import __version__
from pirate.config import Settings
from pirate.deadline import Deadline
from pirate.disk.identity import new_peer_id
from pirate.disk.state import State
from pirate.errors import DeniedError, NoNetworkError, UsageError
from pirate.model import Address, Known, Peer, PeerId
from pirate.net.dial import Dialer
from pirate.registry.base import Registry
from pirate.registry.static import StaticRegistry
from pirate.roster import Roster, announced
from pirate.wire.messages import NEWEST_VERSION, OLDEST_VERSION, Hello

# How long a command waits for the registry.
REGISTRY_SECONDS = 3.0

# A roster as young as this is not asked for again: `get -i` would for every file.
FRESH_SECONDS = 1.0


def new_hello(name: str = "", peer: PeerId | None = None) -> Hello:
    """How this process introduces itself: the versions, no features yet, a young id if none."""
    agent = f"pirate/{__version__} {sys.platform}"
    return Hello(OLDEST_VERSION, NEWEST_VERSION, 0, peer or new_peer_id(), name, agent)


def open_registry(settings: Settings) -> Registry:
    """The registry that the settings ask for: etcd, the named peers, or both as one."""
    parts: list[Registry] = []
    if settings.discovery == "etcd" and not settings.etcd:
        raise UsageError("--discovery etcd needs --etcd HOST:PORT")
    if settings.etcd and settings.discovery in ("auto", "etcd"):
        # 100 ms and 27 MB, for those who use it
        from pirate.registry.etcd import EtcdRegistry  # noqa: PLC0415

        parts.append(EtcdRegistry(settings.etcd, settings.ttl, access=settings.access))
    if settings.peers and settings.discovery != "none":
        parts.append(StaticRegistry(settings.peers))
    if len(parts) > 1:
        from pirate.registry.union import UnionRegistry  # noqa: PLC0415

        return UnionRegistry(tuple(parts))
    return parts[0] if parts else StaticRegistry(())


class Memory:
    """The peers of the network that the settings name, from one run to the next."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._state = state
        self._network = "etcd " + ",".join(sorted(map(str, settings.etcd)))

    def recall(self) -> Known:
        """Whom some earlier run knew last."""
        from pirate.disk.remembered import remembered  # noqa: PLC0415 - 4 ms, seldom needed

        return remembered(self._state, self._network)

    def keep(self, roster: Roster) -> None:
        """Remember whom the registry has told of, if it has."""
        snapshot, age = roster.snapshot, roster.age
        if math.isfinite(age) and not snapshot.problem and (peers := announced(snapshot.peers)):
            from pirate.disk.remembered import remember  # noqa: PLC0415 - static peers need none

            remember(self._state, self._network, peers, time.time() - age)


class Network:
    """The other peers, as one command sees them. Close it, or use it as a context manager."""

    def __init__(self, settings: Settings, only: tuple[Address, ...] = ()) -> None:
        """``only`` these peers, if any are named, and no registry.

        The command's time runs from here on: ``deadline``.
        """
        self.deadline = Deadline.within(settings.timeout)
        self._settings = settings
        self._only = only
        self.dialer = Dialer(
            new_hello(), connect=settings.connect_timeout, stall=settings.stall_timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dialer.close()
        if "roster" in vars(self):
            self._memory.keep(self.roster)
        if "_registry" in vars(self):
            self._registry.close()

    @cached_property
    def _registry(self) -> Registry:
        """Opened when somebody has to be found: a target that is there already needs none."""
        if self._only:
            return StaticRegistry(self._only)
        if not self._settings.etcd and not self._settings.peers:
            raise NoNetworkError("no etcd and no peer is named")
        return open_registry(self._settings)

    @cached_property
    def roster(self) -> Roster:
        """Who is out there, as far as ``peers`` has found out."""
        return Roster(self._registry, recall=self._memory.recall)

    @cached_property
    def _memory(self) -> Memory:
        return Memory(self._settings, State(self._settings.state))

    def peers(self) -> tuple[Peer, ...]:
        """Whom to ask, from the registry; NoNetworkError if nothing can be said."""
        snapshot = self.roster.snapshot
        if snapshot.stale or self.roster.age > FRESH_SECONDS:
            snapshot = self.roster.refresh(self.deadline.at_most(REGISTRY_SECONDS))
        if snapshot.problem and not snapshot.peers:
            if isinstance(snapshot.problem, DeniedError):
                raise snapshot.problem
            raise NoNetworkError(str(snapshot.problem)) from snapshot.problem
        return snapshot.peers
