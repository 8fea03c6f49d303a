"""The registry in etcd: one key for each peer, under a lease that its heartbeat renews.

A key is written when its record changes, not at every heartbeat. Renewing a lease costs etcd
no write, while a put each time would add to a history that etcd keeps until somebody compacts
it: 200 records a second from 1,000 peers.

Importing this module loads gRPC, so it is imported only where an etcd is configured.
"""

import logging
import math
import time
from collections.abc import Callable

from pirate import record
from pirate.deadline import Deadline
from pirate.errors import ClashError, ProtocolError, RegistryError
from pirate.model import Address, Announcement, Peer, PeerId
from pirate.registry.access import PLAIN, Access
from pirate.registry.etcd_client import Client, Found, LeaseLostError
from pirate.registry.etcd_mirror import Mirror

log = logging.getLogger(__name__)

# Keys, and the peers that they announce or why they announce none.
Values = dict[bytes, Peer | ProtocolError]

PREFIX = "/pirate/v1/peers/"
PEERS_LIMIT = 10_000

# Whoever keeps writing nonsense shall not fill our log.
QUIET_SECONDS = 60.0


class EtcdRegistry:
    """A handle on the etcd cluster whose members are ``endpoints``.

    ``ttl`` seconds after the last announcement others stop seeing us. Nothing is sent before
    the first call.
    """

    kind = "etcd"

    def __init__(
        self,
        endpoints: tuple[Address, ...],
        ttl: float = 15.0,
        *,
        access: Access = PLAIN,
        prefix: str = PREFIX,
    ) -> None:
        """Raise UsageError if the files of ``access`` cannot be used."""
        self.problem: RegistryError | None = None
        self._client = Client(endpoints, access)
        self._mirror: Mirror[Peer | ProtocolError] | None = None
        self._ttl = math.ceil(ttl)
        self._prefix = prefix
        self._lease: int | None = None
        self._taken: PeerId | None = None  # the id whose key may be under our lease
        self._written: Found | None = None  # our key, if we can be sure that it is there
        self._refused: set[bytes] = set()
        self._quiet_until = 0.0

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """See ``Registry``. That our key alone was deleted, ``peers`` notices, as a problem."""
        try:
            if self._taken not in (None, announcement.id):
                self.withdraw(deadline)
            self._write(announcement, self._renewed(deadline), deadline)
        except LeaseLostError:
            self._lease = self._taken = self._written = None
            self._lease = self._client.grant(self._ttl, deadline)
            self._write(announcement, self._lease, deadline)

    def withdraw(self, deadline: Deadline) -> None:
        """See ``Registry``: the key goes with its lease."""
        if self._lease is None:
            return
        try:
            self._client.revoke(self._lease, deadline)
        except LeaseLostError:
            log.debug("the lease %x had run out before it was revoked", self._lease)
        self._lease = self._taken = self._written = None

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``Registry``. From the next listing on ``peers`` answers from a mirror."""
        self._mirror = Mirror(self._read, changed, PEERS_LIMIT)

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """See ``Registry``; at most 10,000. What is no announcement is left out."""
        values, revision = (self._mirror and self._mirror.look()) or self._list(deadline)
        self._note_refused(
            {key: value for key, value in values.items() if isinstance(value, ProtocolError)}
        )
        self.problem = None
        ours = self._written
        if ours and ours.revision <= revision and self._read(*ours[:2]) != values.get(ours.key):
            self._written = None
            self.problem = RegistryError("etcd has lost our announcement")
        return tuple(value for value in values.values() if isinstance(value, Peer))

    def close(self) -> None:
        """See ``Registry``."""
        if self._mirror:
            self._mirror.close()
        self._client.close()

    def _list(self, deadline: Deadline) -> tuple[Values, float]:
        """Ask etcd for all there is, and for what changes later if that is wanted.

        The second is the revision up to which we can be sure that nothing is missing.
        """
        listing = self._client.list(self._prefix, PEERS_LIMIT, deadline)
        values = {pair.key: self._read(pair.key, pair.value) for pair in listing.found}
        if listing.more:
            return values, -math.inf
        if self._mirror:
            stream = self._client.watch(self._prefix, listing.revision)
            self._mirror.follow(values, listing.revision, stream)
        return values, math.inf  # and not its revision: an etcd that was wiped counts anew

    def _key(self, peer_id: PeerId) -> bytes:
        return f"{self._prefix}{peer_id}".encode()

    def _renewed(self, deadline: Deadline) -> int:
        """Our lease, begun anew; LeaseLostError if there is none, or none any more."""
        if self._lease is None:
            raise LeaseLostError
        self._client.renew(self._lease, deadline)
        return self._lease

    def _write(self, announcement: Announcement, lease: int, deadline: Deadline) -> None:
        """Put our record under our lease, unless it is there already; ClashError if it cannot be.

        What stands at our key may be another peer's, so it is replaced only as it was seen.
        """
        key, value = self._key(announcement.id), record.encode(announcement)
        if self._written and self._written[:2] == (key, value):
            return
        self._written = None  # a put whose answer is lost may have been done or not
        self._taken = announcement.id
        done, seen = False, None
        while not done:
            done, seen = self._client.put_over(seen, key, value, lease, deadline)
            if seen and seen.lease != lease:
                _raise_if_anothers(seen.value, announcement)
        self._written = seen

    def _read(self, key: bytes, value: bytes) -> Peer | ProtocolError:
        """The peer that a key announces, or why there is none."""
        try:
            announcement = record.decode(value)
        except ProtocolError as error:
            return error
        if key != self._key(announcement.id):
            return ProtocolError("the record of another peer")
        return Peer.announced(announcement, self.kind)

    def _note_refused(self, refused: dict[bytes, ProtocolError]) -> None:
        """Log once what is newly refused: a line a minute at most, however many there are."""
        self._refused &= refused.keys()
        news = sorted(refused.keys() - self._refused)
        if not news or time.monotonic() < self._quiet_until:
            return
        log.warning(
            "%d records in etcd are no announcements and left out, such as %r: %s",
            len(news),
            news[0][:100],
            refused[news[0]],
        )
        self._refused |= refused.keys()
        self._quiet_until = time.monotonic() + QUIET_SECONDS


def _raise_if_anothers(value: bytes, ours: Announcement) -> None:
    """Raise ClashError if a living peer other than us has announced this under our id.

    What an earlier run of ours left when it was killed has our addresses; what nobody can read
    is nobody's.
    """
    try:
        theirs = record.decode(value)
    except ProtocolError:
        return
    same_run = ours.instance and theirs.instance == ours.instance
    if not same_run and theirs.addresses != ours.addresses:
        raise ClashError(f"the peer {Peer.announced(theirs)} has our id {ours.id}")
