"""Whom those peers know that we can name, and who has told us of itself.

So a network needs neither multicast nor an etcd: whoever serves and names one peer is known to
that one, which tells all others that ask.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from pirate import record
from pirate.deadline import Clock, Deadline
from pirate.errors import PeerError
from pirate.model import HEARSAY, Address, Announcement, Known, Peer, PeerId
from pirate.net.dial import Dialer
from pirate.net.survey import survey
from pirate.scope import Stop

log = logging.getLogger(__name__)

ASK_SECONDS = 1.0

# However often somebody wants to know, the named peers are asked no more often.
AGAIN_SECONDS = 2.0

# Who has told us of itself is believed for so long, in seconds (PROTOCOL.md, "Peers of peers").
CALLER_SECONDS = 30.0
CALLERS = 1_000

# How a peer was found that has told us of itself.
CALLER = "caller"

# And how one was found that the serve of this machine knows.
AT_HOME = "serve"


class Home:
    """A registry that asks each `serve` of this machine; one that is in doubt has no answer."""

    kind = AT_HOME
    problem = None

    def __init__(self, dialer: Dialer, addresses: Sequence[Address]) -> None:
        """``dialer`` stays the caller's."""
        self._dialer = dialer
        self._peers = tuple(Peer((address,)) for address in addresses)

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """Do nothing: commands announce nothing."""

    def withdraw(self, deadline: Deadline) -> None:
        """Do nothing."""

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """See ``Registry``: whom they know, themselves among them."""
        found: list[Peer] = []
        for _, known in _asked(self._peers, self._dialer, deadline):
            if not known.stale:
                found += known.peers(self.kind)
        return tuple(found)

    def themselves(self, deadline: Deadline) -> tuple[Peer, ...]:
        """Each of those that answer, as it announces itself."""
        answers = _asked(self._peers, self._dialer, deadline)
        return tuple(
            peer for who, known in answers for peer in known.peers(self.kind) if peer.id == who
        )

    def watch(self, changed: Callable[[], None]) -> None:
        """Do nothing: commands do not stay."""

    def close(self) -> None:
        """See ``Registry``."""


class _Caller(NamedTuple):
    announcement: Announcement
    until: float


class Acquaintances:
    """A registry of hearsay. It never fails: who cannot be asked now has nothing to tell.

    One thread at a time uses it as a registry; ``heard`` may come from any.
    """

    kind = HEARSAY
    problem = None

    def __init__(
        self, dialer: Dialer, named: Sequence[Address] = (), *, clock: Clock = time.monotonic
    ) -> None:
        """Asks the peers at the addresses ``named``; ``dialer`` stays the caller's."""
        self._dialer = dialer
        self._named = tuple(Peer((address,)) for address in dict.fromkeys(named))
        self._clock = clock
        self._own = ""
        self._told: tuple[Peer, ...] = ()
        self._next = -math.inf
        self._changed: Callable[[], None] = lambda: None
        self._lock = threading.Lock()  # guards the two below
        self._callers: dict[PeerId, _Caller] = {}
        self._doubted: set[str] = set()  # hosts that were told of in the log

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:  # noqa: ARG002 - it never waits
        """See ``Registry``: whom we ask from now on learns it."""
        own = record.encode(announcement).decode()
        if own != self._own:
            self._own, self._next = own, -math.inf

    def withdraw(self, deadline: Deadline) -> None:  # noqa: ARG002
        """See ``Registry``: they forget us when our time is up."""
        self._own = ""

    def heard(self, announcement: Announcement, host: str) -> None:
        """A peer at ``host`` has told us of itself; not believed if it is announced elsewhere."""
        if all(address.host != host for address in announcement.addresses):
            with self._lock:
                news = host not in self._doubted and len(self._doubted) < CALLERS
                if news:
                    self._doubted.add(host)
            if news:
                log.info("%r, a guest from %s, announces another host", announcement.name, host)
            return
        now = self._clock()
        with self._lock:
            news = self._callers.pop(announcement.id, None) is None
            if len(self._callers) >= CALLERS:
                del self._callers[next(iter(self._callers))]
            self._callers[announcement.id] = _Caller(announcement, now + CALLER_SECONDS)
        if news:
            self._changed()

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """See ``Registry``: our callers, and whom the named ones know, as far as they answer."""
        now = self._clock()
        with self._lock:
            callers = [caller for caller in self._callers.values() if now < caller.until]
            self._callers = {caller.announcement.id: caller for caller in callers}
        found = [Peer.announced(caller.announcement, CALLER) for caller in callers]
        if self._named and now >= self._next:
            answers = _asked(self._named, self._dialer, deadline, self._own)
            self._told = tuple(peer for _, known in answers for peer in known.peers(HEARSAY))
            self._next = now + AGAIN_SECONDS
        return (*found, *self._told)

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``Registry``: callers are seen at once."""
        self._changed = changed

    def close(self) -> None:
        """See ``Registry``."""


def _asked(
    peers: Sequence[Peer], dialer: Dialer, deadline: Deadline, own: str = ""
) -> Iterator[tuple[PeerId, Known]]:
    """Those of them that answer soon, and whom they know."""

    def ask(peer: Peer, deadline: Deadline, stop: Stop) -> tuple[PeerId, Known]:
        with dialer.talk(peer, deadline, stop) as conversation:
            return conversation.peer.peer, conversation.peers(deadline, own)

    with closing(survey(peers, ask, deadline.at_most(ASK_SECONDS), Stop())) as answers:
        for peer, answer in answers:
            if isinstance(answer, PeerError):
                log.debug("%s tells of nobody: %s", peer, answer)
            else:
                yield answer
