"""The other peers, as one command sees them, and how this process introduces itself."""

import secrets
import sys
from functools import cached_property
from typing import Self

from pirate import __version__
from pirate.config import Settings
from pirate.deadline import Deadline
from pirate.errors import DeniedError, NoNetworkError, UsageError
from pirate.model import Address, Peer, PeerId
from pirate.net.dial import Dialer
from pirate.registry.base import Registry
from pirate.registry.static import StaticRegistry
from pirate.roster import Roster
from pirate.wire.messages import NEWEST_VERSION, OLDEST_VERSION, Hello

# How long a command waits for the registry.
REGISTRY_SECONDS = 3.0

# A roster as young as this is not asked for again: `get -i` would for every file.
FRESH_SECONDS = 1.0


def new_hello(name: str = "") -> Hello:
    """How this process introduces itself: a new peer id, the versions, no features yet."""
    peer = PeerId(secrets.token_bytes(PeerId.SIZE))
    agent = f"pirate/{__version__} {sys.platform}"
    return Hello(OLDEST_VERSION, NEWEST_VERSION, 0, peer, name, agent)


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
        return Roster(self._registry)

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
