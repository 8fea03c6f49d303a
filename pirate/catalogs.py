"""What the others have: their catalogs, cached for a while and asked for only if changed."""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from cachetools import TTLCache

from pirate.deadline import Clock, Deadline
from pirate.errors import PeerError, UnaskedError
from pirate.flight import Flights
from pirate.model import Address, Digest, Peer, PeerId
from pirate.net.conversation import Conversation, Page
from pirate.net.dial import Dialer
from pirate.net.survey import survey
from pirate.scope import Stop
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run

TTL_SECONDS = 60.0

# A catalog that is no longer fresh is kept for this many TTLs: if its revision is still the
# current one, the peer's answer is one small frame instead of all entries.
KEPT_TTLS = 10

# One peer's catalog may have this many entries, and so many bytes; what lies behind is not
# asked for.
MOST_ENTRIES = 1_000_000
MOST_BYTES = 256 * 1024 * 1024
PAGE_ENTRIES = 1_000

# Where there is room for so many bytes only, one catalog may take no more than this part of it.
SHARE = 1 / 4

# What a listing costs beside its entries, and each entry beside its bytes: where it ends, and
# how its digest begins.
LISTING_BYTES = 4096
ENTRY_BYTES = 4 + 8

_BEFORE_ALL = Digest(bytes(Digest.SIZE))


class Listing(NamedTuple):
    """A peer, as its HELLO introduced it, and its catalog at a time of the cache's clock."""

    peer: Peer
    catalog: Catalog
    confirmed: float


class Catalogs:
    """A cache of listings by peer. Safe to use from any thread.

    A listing is fresh for one TTL after the peer confirmed it, unless the peer has announced
    another revision since. Where the room is full who is in it stays, and others are not asked:
    to make room for each other they would all be asked every time.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        ttl: float = TTL_SECONDS,
        room: float = math.inf,
        clock: Clock = time.monotonic,
    ) -> None:
        """``ttl`` in seconds; ``room`` in bytes, of all catalogs and of those that come."""
        self._dialer = dialer
        self._ttl = ttl
        self._room = room
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below: cachetools are not thread-safe
        self._cache: TTLCache[PeerId | Address, Listing] = TTLCache(
            room, KEPT_TTLS * ttl, timer=clock, getsizeof=_cost
        )
        self._coming = 0  # bytes of catalogs that are not in the cache yet
        self._flights: Flights[PeerId | Address, Listing] = Flights()

    def of(self, peer: Peer, deadline: Deadline, stop: Stop) -> Listing:
        """The listing of one peer. Raises PeerError."""
        cached = self._cached(peer)
        if cached and self._fresh(cached, peer):
            return cached

        def ask() -> Listing:
            with self._claiming() as claim:
                with self._dialer.talk(peer, deadline, stop) as conversation:
                    fetch = _Fetch(conversation, deadline, claim)
                    catalog = fetch.catalog(cached and cached.catalog)
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
        each: float = math.inf,
    ) -> Generator[tuple[Peer, Listing | PeerError], None, None]:
        """Every peer with its listing, or why there is none, as they come.

        Each may take ``each`` seconds.
        """

        def ask(peer: Peer, deadline: Deadline, stop: Stop) -> Listing:
            return self.of(peer, deadline, stop)

        return survey(peers, ask, deadline, stop, each=each)

    def fresh(self, peer: Peer) -> Listing | None:
        """The listing of a peer if nobody has to be asked for it."""
        cached = self._cached(peer)
        return cached if cached and self._fresh(cached, peer) else None

    def tidy(self) -> None:
        """Let go of what is too old to be of use."""
        with self._lock:
            self._cache.expire()

    def _cached(self, peer: Peer) -> Listing | None:
        with self._lock:
            return self._cache.get(peer.key)

    @contextmanager
    def _claiming(self) -> Iterator[Callable[[int], None]]:
        """Claim room for what comes, some bytes at a time: UnaskedError if there is none.

        All of it is given back at the end, when the cache counts what came.
        """
        claimed = 0

        def claim(count: int) -> None:
            nonlocal claimed
            with self._lock:
                taken = self._cache.currsize + self._coming
                if claimed + count > SHARE * self._room or taken + count > self._room:
                    raise UnaskedError("there is no room for its list")
                self._coming += count
            claimed += count

        try:
            claim(LISTING_BYTES)
            yield claim
        finally:
            with self._lock:
                self._coming -= claimed

    def _fresh(self, listing: Listing, peer: Peer) -> bool:
        announced = peer.announcement.revision if peer.announcement else None
        current = announced is None or announced == listing.catalog.revision
        return current and self._clock() - listing.confirmed < self._ttl


def _cost(listing: Listing) -> int:
    """The bytes of memory that a listing takes, about."""
    catalog = listing.catalog
    return LISTING_BYTES + catalog.encoded_bytes + ENTRY_BYTES * len(catalog)


class _Fetch:
    """One peer, asked for its catalog."""

    def __init__(
        self, conversation: Conversation, deadline: Deadline, claim: Callable[[int], None]
    ) -> None:
        """``claim`` is told how many bytes have come, and may end it."""
        self._conversation = conversation
        self._deadline = deadline
        self._claim = claim

    def catalog(self, known: Catalog | None) -> Catalog:
        """The peer's catalog now; ``known`` itself if its revision is still current.

        A catalog that changes while it is paged is a mixture, each entry of which was true; it
        bears the first page's revision, so that the next look asks for what has changed since.
        """
        page = self._page(known.revision if known else 0, _BEFORE_ALL)
        if known and page.revision == known.revision:
            return known
        if known and page.since:
            changes = self._pages(page)
            changed = known.changed(page.revision, Run.joined(changes)) if changes else None
            if changed and len(changed) <= MOST_ENTRIES and changed.encoded_bytes <= MOST_BYTES:
                return changed
            page = self._page(0, _BEFORE_ALL)
        return Catalog(page.revision, runs=self._pages(page) or ())

    def _page(self, known: int, after: Digest) -> Page:
        page = self._conversation.list(known, after, PAGE_ENTRIES, self._deadline)
        self._claim(sum(len(run.data) + ENTRY_BYTES * len(run) for run in page.runs))
        return page

    def _pages(self, page: Page) -> list[Run] | None:
        """That page and those that follow, within the limits; None if changes are forgotten."""
        since, runs = page.since, list(page.runs)
        count, room = sum(map(len, runs)), MOST_BYTES
        while page.runs and count < MOST_ENTRIES and room > 0:
            if not since and count >= page.files:
                break
            last = page.runs[-1]
            after = Digest(last.digest(len(last) - 1))
            page = self._page(since, after)
            if page.since != since:
                return None
            runs += page.runs
            count += sum(map(len, page.runs))
            room -= sum(len(run.data) for run in page.runs)
        return runs
