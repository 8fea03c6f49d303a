"""The registry in etcd: one key for each peer, under a lease that its heartbeat renews.

A key is written when its record changes, not at every heartbeat. Renewing a lease costs etcd
no write, while a put each time would add to a history that etcd keeps until somebody compacts
it: 200 records a second from 1,000 peers.

Importing this module loads gRPC, so it is imported only where an etcd is configured.
"""

import logging
import math

from pirate import record
from pirate.deadline import Deadline
from pirate.errors import ClashError, ProtocolError
from pirate.model import Address, Announcement, Peer, PeerId
from pirate.registry.access import PLAIN, Access
from pirate.registry.etcd_client import Client, Found, LeaseLostError

log = logging.getLogger(__name__)

PREFIX = "/pirate/v1/peers/"
PEERS_LIMIT = 10_000


class EtcdRegistry:
    """A handle on the etcd cluster whose members are ``endpoints``.

    ``ttl`` seconds after the last announcement others stop seeing us. Nothing is sent before
    the first call.
    """

    kind = "etcd"
    problem = None

    def __init__(
        self,
        endpoints: tuple[Address, ...],
        ttl: float = 15.0,
        *,
        access: Access = PLAIN,
        prefix: str = PREFIX,
    ) -> None:
        """Raise UsageError if the files of ``access`` cannot be used."""
        self._client = Client(endpoints, access)
        self._ttl = math.ceil(ttl)
        self._prefix = prefix
        self._lease: int | None = None
        self._taken: PeerId | None = None  # the id whose key may be under our lease
        self._written: Announcement | None = None  # what our key holds, if we can be sure
        self._refused: frozenset[bytes] = frozenset()

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """See ``Registry``. That our key was deleted alone, ``peers`` notices for the next call."""
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

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """See ``Registry``; at most 10,000. What is no announcement is left out."""
        listing = self._client.list(self._prefix, PEERS_LIMIT, deadline)
        found: dict[PeerId, Peer] = {}
        refused: dict[bytes, ProtocolError] = {}
        for pair in listing.found:
            try:
                announcement = self._read(pair)
            except ProtocolError as error:
                refused[pair.key] = error
            else:
                found[announcement.id] = Peer.announced(announcement, self.kind)
        self._note_refused(refused)
        if self._written and not listing.more:
            ours = found.get(self._written.id)
            if not ours or ours.announcement != self._written:
                self._written = None
        return tuple(found.values())

    def close(self) -> None:
        """See ``Registry``."""
        self._client.close()

    def _key(self, peer_id: PeerId) -> str:
        return f"{self._prefix}{peer_id}"

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
        if announcement == self._written:
            return
        key, value = self._key(announcement.id), record.encode(announcement)
        self._written = None  # a put whose answer is lost may have been done or not
        self._taken = announcement.id
        done, seen = False, None
        while not done:
            done, seen = self._client.put_over(seen, key, value, lease, deadline)
            if seen and seen.lease != lease:
                _raise_if_anothers(seen.value, announcement)
        self._written = announcement

    def _read(self, pair: Found) -> Announcement:
        announcement = record.decode(pair.value)
        if pair.key != self._key(announcement.id).encode():
            raise ProtocolError("the record of another peer")
        return announcement

    def _note_refused(self, refused: dict[bytes, ProtocolError]) -> None:
        """Log once what is newly refused: one line, however many there are."""
        news = [key for key in refused if key not in self._refused]
        if news:
            example = news[0]
            log.warning(
                "%d records in etcd are no announcements and left out, such as %r: %s",
                len(news),
                example[:100],
                refused[example],
            )
        self._refused = frozenset(refused)


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
