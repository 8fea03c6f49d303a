"""Where the parts of a server are chosen and joined."""

import logging
import math
import os
import resource
import secrets
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pirate import __version__, discovery, record
from pirate.acquaintances import Acquaintances
from pirate.catalogs import Catalogs
from pirate.config import Settings
from pirate.disk.hashcache import HashCache
from pirate.disk.identity import Identity
from pirate.disk.state import State
from pirate.disk.tree import Shares
from pirate.errors import BindError, UsageError
from pirate.library import Library
from pirate.model import EVERYWHERE, IPV4_EVERYWHERE, Address, Announcement, Known, PeerId
from pirate.net.dial import Dialer
from pirate.net.interfaces import Whereabouts
from pirate.net.listening import listening
from pirate.net.reception import Limits
from pirate.net.survey import MOST_AT_ONCE
from pirate.net.ways import Ways
from pirate.network import Memory, new_hello
from pirate.registry.union import UnionRegistry
from pirate.roster import Heartbeat, Roster
from pirate.scope import Scope, Stop
from pirate.serve.finder import Finder
from pirate.serve.handler import Handler
from pirate.serve.server import WORKERS, Server
from pirate.serve.sightings import Sightings
from pirate.sharing import shares
from pirate.throttle import Throttle
from pirate.wire import messages
from pirate.wire.catalog import Catalog
from pirate.wire.fields import PATH_LIMIT, PATHS_LIMIT, REASON_LIMIT, fitted
from pirate.wire.messages import Hello

if TYPE_CHECKING:
    from pirate.disk.watch import Watch

log = logging.getLogger(__name__)

# How long `serve` waits for its first announcement.
START_SECONDS = 0.5

# How often all files are looked at: if changes are told, only for those that were not.
RESCAN_SECONDS = 30.0
WATCHED_RESCAN_SECONDS = 300.0

# Who is known is written down no more often.
REMEMBER_SECONDS = 30.0

# What the others have is kept in so much memory, about four million files.
CATALOGS_BYTES = 256 * 1024 * 1024

# Descriptors beside those of guests: two a worker, the registry's, files being hashed, peers that
# are asked for what they have.
RESERVED_DESCRIPTORS = 2 * WORKERS + 128 + MOST_AT_ONCE
MOST_DESCRIPTORS = 65_536

# Idle connections to others: who is asked what it has is not asked again soon.
KEEP = 16

FEWEST_GUESTS = 64
MOST_GUESTS = 4096


class Node:
    """A running pirate that serves folders: built here, started in a scope of the caller."""

    def __init__(self, settings: Settings, folders: tuple[str, ...]) -> None:
        """Listens already; raises BindError, and UsageError for a folder that is none."""
        shared = shares(settings, folders)
        self.name = settings.name or _host_name()
        self._started, self._instance = time.time(), secrets.token_hex(16)
        guests = max(FEWEST_GUESTS, _raise_descriptors() - RESERVED_DESCRIPTORS)
        places = discovery.named(settings) + discovery.around(settings)
        state = State(settings.state, level=logging.WARNING)
        self._memory = Memory(settings, state)
        self._identity = Identity(state)
        self.hello = new_hello(self.name, self._identity.peer)
        self._dialer = Dialer(
            self.hello,
            connect=settings.connect_timeout,
            stall=settings.stall_timeout,
            ways=Ways(settings.peers, settings.networks),
            keep=KEEP,
        )
        acquaintances = Acquaintances(self._dialer, discovery.introducers(settings))
        self._registry = UnionRegistry(*(opened() for opened in places), acquaintances)
        try:
            listener = listening(settings.listen)
        except BindError:
            self._registry.close()
            raise
        self.listen = Address(*listener.getsockname()[:2])
        self._whereabouts = Whereabouts(self.listen, settings.advertise)
        self.library = Library(
            shared,
            rescan=settings.rescan or RESCAN_SECONDS,
            changed=self._changed,
            cache=HashCache(state),
        )
        self._folders = shared.roots
        self._rescan, self._told = settings.rescan, False
        self._watch = self._watching(shared) if settings.watch else None
        limit = settings.limit_up
        self._catalogs = Catalogs(self._dialer, room=CATALOGS_BYTES)
        self._finder = Finder(self._catalogs, self.known, self._own)
        self._handler = handler = Handler(
            *(self.library, Throttle(limit) if limit else None, self.known),
            *(acquaintances.heard, self._finder),
        )
        handler.state = self.state
        self._server = Server(
            listener,
            self.greeting,
            handler.answer,
            limits=Limits(guests=min(guests, MOST_GUESTS), stall=settings.stall_timeout),
            drain=settings.drain,
        )
        self.roster = Roster(self._registry, me=self.hello.peer, recall=self._memory.recall)
        self._server.met = Sightings(lambda: self.roster.peers).note
        self.heartbeat = Heartbeat(
            *(self._registry, self.roster, self.announcement, settings.ttl), clashed=self._clashed
        )
        try:
            record.encode(self.announcement())
        except ValueError as error:
            raise UsageError(f"cannot be announced: {error}") from error
        self.announces = discovery.announces(settings)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where others reach us now, the best first."""
        return self._whereabouts.addresses

    def start(self, scope: Scope) -> None:
        """Start every thread; they end when ``scope`` does.

        From here on commands on this machine ask us, and are told if we know little yet.
        """
        self._identity.serving(_nearest(self.listen))
        scope.spawn("library", lambda: self.library.run(scope.stop))
        if watch := self._watch:
            scope.spawn("watch", lambda: watch.run(scope.stop))
        scope.spawn("reception", lambda: self._server.run(scope.stop))
        scope.spawn("heartbeat", lambda: self.heartbeat.run(scope.stop))
        self._finder.start(scope)
        scope.spawn("memory", lambda: self._remember(scope.stop))

    def wait_until_ready(self, stop: Stop) -> bool:
        """Wait for the first scan, and a moment for the announcement; False if stopped."""
        scanned = self.library.scanned
        with stop.waking(scanned.set):
            scanned.wait()
        if self.announces and not stop.is_set:
            self.heartbeat.announced.wait(START_SECONDS)
        return not stop.is_set

    def greeting(self, guest: Address) -> Hello:
        """Our HELLO for the guest at an address."""
        return replace(self.hello, seen=str(guest))

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
            instance=self._instance,
        )

    def known(self) -> Known:
        """Whom we know, and ourselves."""
        return self.roster.known(self.announcement())

    def state(self) -> messages.State:
        """How we are, for a guest of this machine that asks."""
        catalog, done, roster = self.library.catalog, self.library.progress, self.roster.snapshot
        age = self.roster.age
        return messages.State(
            pid=os.getpid(),
            started=int(self._started),
            listen=str(self.listen),
            addresses=tuple(map(str, self.addresses)),
            folders=tuple(fitted(each, PATH_LIMIT) for each in self._folders[:PATHS_LIMIT]),
            files=len(catalog),
            size=catalog.size,
            ready=self.library.scanned.is_set(),
            hashed_files=done.files,
            files_to_hash=done.of_files,
            hashed_bytes=done.bytes,
            bytes_to_hash=done.of_bytes,
            watching=self._told,
            transfers=max(0, self._server.answering - 1),  # who asks this is one of them
            sent=self._handler.sent,
            registry=self.roster.kind,
            problem=fitted(str(roster.problem or ""), REASON_LIMIT),
            age=int(age) if math.isfinite(age) else messages.UNKNOWN_AGE,
            announced=self.announces and self.heartbeat.announced.is_set(),
            peers=len(roster.peers),
        )

    def _own(self) -> tuple[PeerId, Catalog]:
        """Who we are, and what we have."""
        return self.hello.peer, self.library.catalog

    def _watching(self, shares: Shares) -> "Watch | None":
        """Who watches the folders, where the system has what that needs."""
        try:
            from pirate.disk.watch import Watch  # noqa: PLC0415 - its library is for Linux alone
        except ImportError:
            log.info("there is no inotify here, changes are found by --rescan alone")
            return None
        return Watch(shares, self.library.look, self._watched)

    def _watched(self, completely: bool) -> None:  # noqa: FBT001 - a callback's only argument
        """All changes are told from now on, or not all any more."""
        self._told = completely
        seconds = WATCHED_RESCAN_SECONDS if completely else RESCAN_SECONDS
        self.library.rescan_every(self._rescan or seconds)

    def _changed(self) -> None:
        self.heartbeat.poke()

    def _clashed(self) -> None:
        """Another peer that lives has our id: this machine is a copy of another."""
        self.hello = self._dialer.hello = replace(self.hello, peer=self._identity.renew())

    def _remember(self, stop: Stop) -> None:
        """Keep whom we know for the next run, until ``stop``; a thread's body."""
        refreshed = self.roster.refreshed
        with self._identity:
            while not stop.is_set:
                with stop.waking(refreshed.set):
                    refreshed.wait()
                refreshed.clear()
                self._memory.keep(self.roster)
                self._catalogs.tidy()
                stop.wait(REMEMBER_SECONDS)
            self._memory.keep(self.roster)


def _nearest(listen: Address) -> Address:
    """Where this machine itself reaches who listens there."""
    everywhere = listen.host in (EVERYWHERE, IPV4_EVERYWHERE)
    return Address("127.0.0.1" if everywhere else listen.host, listen.port)


def _host_name() -> str:
    return fitted(socket.gethostname(), 64) or "pirate"


def _raise_descriptors() -> int:
    """Raise the soft limit on open files as far as it goes; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
