"""Where the parts are chosen and joined: a Network for a command, a Node for a server."""

import os
import resource
import secrets
import socket
import sys
import time
from functools import cached_property
from typing import Self

from pirate import __version__
from pirate.config import EVERYWHERE, Settings
from pirate.deadline import Deadline
from pirate.errors import BindError, NoNetworkError, UsageError
from pirate.library import Library
from pirate.model import Address, Announcement, Peer, PeerId
from pirate.net.dial import Dialer
from pirate.net.reception import Limits
from pirate.registry import record
from pirate.registry.base import Registry
from pirate.registry.static import StaticRegistry
from pirate.roster import Heartbeat, Roster
from pirate.scope import Scope, Stop
from pirate.serve.handler import Handler
from pirate.serve.server import WORKERS, Server
from pirate.throttle import Throttle
from pirate.wire.messages import NEWEST_VERSION, OLDEST_VERSION, Hello

# How long a command waits for the registry, and `serve` for its first announcement.
REGISTRY_SECONDS = 3.0

# A roster as young as this is not asked for again: `get -i` would for every file.
FRESH_SECONDS = 1.0
START_SECONDS = 0.5

# A connect flood must find room to wait in: the usual backlog of 5 refuses honest clients.
BACKLOG = 4096

# Descriptors beside those of guests: two a worker, the registry's, files being hashed.
RESERVED_DESCRIPTORS = 2 * WORKERS + 128
MOST_DESCRIPTORS = 65_536
FEWEST_GUESTS = 64
MOST_GUESTS = 4096


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

        parts.append(EtcdRegistry(settings.etcd, settings.ttl))
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
            raise NoNetworkError(str(snapshot.problem)) from snapshot.problem
        return snapshot.peers


class Node:
    """A running pirate that serves folders: built here, started in a scope of the caller."""

    def __init__(self, settings: Settings, folders: tuple[str, ...]) -> None:
        """Listens already; raises BindError, and UsageError for a folder that is none."""
        for folder in folders:
            if not os.path.isdir(folder):  # noqa: PTH112
                raise UsageError(f"{folder!r} is not a folder")
        self.name = settings.name or _host_name()
        self._started = time.time()
        guests = max(FEWEST_GUESTS, _raise_descriptors() - RESERVED_DESCRIPTORS)
        self._registry = open_registry(settings)
        try:
            listener = _listen(settings.listen)
        except BindError:
            self._registry.close()
            raise
        self.listen = Address(*listener.getsockname()[:2])
        self.hello = new_hello(self.name)
        self.addresses = _addresses(settings, self.listen)
        self.library = Library(folders, rescan=settings.rescan, changed=self._changed)
        limit = settings.limit_up
        handler = Handler(self.library, Throttle(limit) if limit else None)
        self._server = Server(
            listener,
            self.hello,
            handler.answer,
            limits=Limits(guests=min(guests, MOST_GUESTS), stall=settings.stall_timeout),
            drain=settings.drain,
        )
        self.roster = Roster(self._registry, me=self.hello.peer)
        self.heartbeat = Heartbeat(self._registry, self.roster, self.announcement, settings.ttl)
        try:
            record.encode(self.announcement())
        except ValueError as error:
            raise UsageError(f"cannot be announced: {error}") from error
        self.announces = bool(settings.etcd) and settings.discovery in ("auto", "etcd")

    def start(self, scope: Scope) -> None:
        """Start every thread; they end when ``scope`` does."""
        scope.spawn("library", lambda: self.library.run(scope.stop))
        scope.spawn("reception", lambda: self._server.run(scope.stop))
        scope.spawn("heartbeat", lambda: self.heartbeat.run(scope.stop))

    def wait_until_ready(self, stop: Stop) -> bool:
        """Wait for the first scan, and a moment for the announcement; False if stopped."""
        scanned = self.library.scanned
        with stop.waking(scanned.set):
            scanned.wait()
        if self.announces and not stop.is_set:
            self.heartbeat.announced.wait(START_SECONDS)
        return not stop.is_set

    def announcement(self) -> Announcement:
        """What we say of ourselves in the registry now."""
        catalog = self.library.catalog
        return Announcement(
            id=self.hello.peer,
            name=self.name,
            addresses=self.addresses,
            version=__version__,
            revision=catalog.revision,
            files=len(catalog),
            size=catalog.size,
            started=self._started,
        )

    def _changed(self) -> None:
        self.heartbeat.poke()


def _listen(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            *address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise BindError(f"{address} is no address of ours") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(f"cannot listen on {address}: {(error.strerror or '').lower()}") from error
    return listener


def _addresses(settings: Settings, listen: Address) -> tuple[Address, ...]:
    """Where others reach us: what the user says, what we listen on, or our way out."""
    if settings.advertise:
        return (Address(settings.advertise.host, settings.advertise.port or listen.port),)
    if listen.host not in (EVERYWHERE, "::"):
        return (listen,)
    return (Address(_way_out(), listen.port),)


def _way_out() -> str:
    """The address that our packets to the outside bear; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 of RFC 5737: routed like any other
            host: str = probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
    return host


def _host_name() -> str:
    return socket.gethostname().encode()[:64].decode(errors="ignore") or "pirate"


def _raise_descriptors() -> int:
    """Raise the soft limit on open files as far as it goes; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
