"""What the others have: their catalogs, cached for a while and asked for only if changed."""

import math
import threading
import time
from collections.abc import Generator, Sequence
from typing import NamedTuple

from cachetools import TTLCache

from pirate.deadline import Clock, Deadline
from pirate.errors import PeerError
from pirate.flight import Flights
from pirate.model import Address, Digest, Peer, PeerId
from pirate.net.conversation import Conversation, Page
from pirate.net.dial import Dialer
from pirate.net.survey import survey
from pirate.scope import Stop
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run

TTL_SECONDS = 60.0
PEERS = 10_000

# A catalog that is no longer fresh is kept for this many TTLs: if its revision is still the
# current one, the peer's answer is one small frame instead of all entries.
KEPT_TTLS = 10

# One peer's catalog may have this many entries, and so many bytes; what lies behind is not
# asked for.
MOST_ENTRIES = 1_000_000
MOST_BYTES = 256 * 1024 * 1024
PAGE_ENTRIES = 1_000

_BEFORE_ALL = Digest(bytes(Digest.SIZE))


class Listing(NamedTuple):
    """A peer, as its HELLO introduced it, and its catalog at a time of the cache's clock."""

    peer: Peer
    catalog: Catalog
    confirmed: float


class Catalogs:
    """A cache of listings by peer. Safe to use from any thread.

    A listing is fresh for one TTL after the peer confirmed it, unless the peer has announced
    another revision since.
    """

    def __init__(
        self, dialer: Dialer, *, ttl: float = TTL_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        """``ttl`` in seconds."""
        self._dialer = dialer
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()  # guards _cache: cachetools are not thread-safe
        self._cache: TTLCache[PeerId | Address, Listing] = TTLCache(
            PEERS, KEPT_TTLS * ttl, timer=clock
        )
        self._flights: Flights[PeerId | Address, Listing] = Flights()

    def of(self, peer: Peer, deadline: Deadline, stop: Stop, *, refresh: bool = False) -> Listing:
        """The listing of one peer; ``refresh`` has it sent anew, whole. Raises PeerError."""
        with self._lock:
            cached = None if refresh else self._cache.get(peer.key)
        if cached and self._fresh(cached, peer):
            return cached

        def ask() -> Listing:
            with self._dialer.talk(peer, deadline, stop) as conversation:
                catalog = _fetch(conversation, cached and cached.catalog, deadline)
            met = peer.met(conversation.peer.peer, conversation.peer.name)
            listing = Listing(met, catalog, self._clock())
            with self._lock:
                self._cache[peer.key] = listing
            return listing

        return self._flights.join(peer.key, ask)

    def of_all(
        self,
        peers: Sequence[Peer],
        deadline: Deadline,
        stop: Stop,
        *,
        refresh: bool = False,
        each: float = math.inf,
    ) -> Generator[tuple[Peer, Listing | PeerError], None, None]:
        """Every peer with its listing, or why there is none, as they come.

        Each may take ``each`` seconds.
        """

        def ask(peer: Peer, deadline: Deadline, stop: Stop) -> Listing:
            return self.of(peer, deadline, stop, refresh=refresh)

        return survey(peers, ask, deadline, stop, each=each)

    def _fresh(self, listing: Listing, peer: Peer) -> bool:
        announced = peer.announcement.revision if peer.announcement else None
        current = announced is None or announced == listing.catalog.revision
        return current and self._clock() - listing.confirmed < self._ttl


def _fetch(conversation: Conversation, known: Catalog | None, deadline: Deadline) -> Catalog:
    """The peer's catalog now; ``known`` itself if its revision is still current.

    A catalog that changes while it is paged is a mixture, each entry of which was true; it
    bears the first page's revision, so that the next look asks for what has changed since.
    """
    page = conversation.list(known.revision if known else 0, _BEFORE_ALL, PAGE_ENTRIES, deadline)
    if known and page.revision == known.revision:
        return known
    if known and page.since:
        changes = _pages(conversation, page, deadline)
        changed = known.changed(page.revision, Run.joined(changes)) if changes else None
        if changed and len(changed) <= MOST_ENTRIES and changed.encoded_bytes <= MOST_BYTES:
            return changed
        page = conversation.list(0, _BEFORE_ALL, PAGE_ENTRIES, deadline)
    return Catalog(page.revision, runs=_pages(conversation, page, deadline) or ())


def _pages(conversation: Conversation, page: Page, deadline: Deadline) -> list[Run] | None:
    """That page and those that follow, within the limits; None if changes are forgotten."""
    since, runs = page.since, list(page.runs)
    count, room = sum(map(len, runs)), MOST_BYTES
    while page.runs and count < MOST_ENTRIES and room > 0:
        if not since and count >= page.files:
            break
        last = page.runs[-1]
        after = Digest(last.digest(len(last) - 1))
        page = conversation.list(since, after, PAGE_ENTRIES, deadline)
        if page.since != since:
            return None
        runs += page.runs
        count += sum(map(len, page.runs))
        room -= sum(len(run.data) for run in page.runs)
    return runs
