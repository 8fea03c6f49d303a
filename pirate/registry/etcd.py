"""The registry in etcd: one key for each peer, under a lease that its heartbeat renews.

A key is written when its record changes, not at every heartbeat. Renewing a lease costs etcd
no write, while a put each time would add to a history that etcd keeps until somebody compacts
it: 200 records a second from 1,000 peers.

Importing this module loads gRPC, so it is imported only where an etcd is configured.
"""

import logging
import math
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

# Both are read when gRPC is imported. Its log would go to stderr, which belongs to the command
# line; and its own resolver does not find a name of /etc/hosts while no DNS server answers.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")

import grpc
from etcd3 import Endpoint, MultiEndpointEtcd3Client
from etcd3.exceptions import Etcd3Exception

from pirate import record
from pirate.deadline import Deadline
from pirate.errors import ClashError, ProtocolError, RegistryError
from pirate.model import Address, Announcement, Peer, PeerId
from pirate.policy.backoff import Backoff

log = logging.getLogger(__name__)

T = TypeVar("T")

PREFIX = "/pirate/v1/peers/"
PEERS_LIMIT = 10_000
RPC_SECONDS = 1.0

# With gRPC's own back-off we were announced up to 6.4 s after the return of an etcd that had
# been away for 12 s (8 runs), with this one up to 1.9 s (24 runs). Its defaults also notice a
# black hole after 70 s only, and let http_proxy catch even 127.0.0.1.
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),  # etcd ends connections that ask more often
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
)

# A member without a leader then refuses at once instead of letting every call run out.
_METADATA = (("hasleader", "true"),)


class EtcdRegistry:
    """A handle on the etcd cluster whose members are ``endpoints``.

    ``ttl`` seconds after the last announcement others stop seeing us. Nothing is sent before
    the first call.
    """

    kind = "etcd"
    problem = None

    def __init__(
        self, endpoints: tuple[Address, ...], ttl: float = 15.0, *, prefix: str = PREFIX
    ) -> None:
        self._names = ", ".join(map(str, endpoints))
        self._ttl = math.ceil(ttl)
        self._prefix = prefix
        self._endpoints = [_endpoint(address) for address in endpoints]
        self._client: _Client = MultiEndpointEtcd3Client(self._endpoints, failover=True)
        self._client.metadata = _METADATA
        self._rng = random.SystemRandom()
        self._lease: int | None = None
        self._taken: PeerId | None = None  # the id whose key may be under our lease
        self._written: Announcement | None = None  # what our key holds, if we can be sure
        self._refused: frozenset[bytes] = frozenset()

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """See ``Registry``. That our key was deleted alone, ``peers`` notices for the next call."""
        try:
            if self._taken not in (None, announcement.id):
                self.withdraw(deadline)
            self._renew(deadline)
            self._write(announcement, deadline)
        except _LeaseLostError:
            self._grant(deadline)
            self._write(announcement, deadline)

    def withdraw(self, deadline: Deadline) -> None:
        """See ``Registry``: the key goes with its lease."""
        if (lease := self._lease) is None:
            return
        try:
            self._call(lambda: self._client.revoke_lease(lease), deadline)
        except _LeaseLostError:
            log.debug("the lease %x had run out before it was revoked", lease)
        self._lease = self._taken = self._written = None

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """See ``Registry``; at most 10,000. What is no announcement is left out."""
        answer = self._call(
            lambda: self._client.get_prefix_response(self._prefix, limit=PEERS_LIMIT), deadline
        )
        found: dict[PeerId, Peer] = {}
        refused: dict[bytes, ProtocolError] = {}
        for pair in answer.kvs:
            try:
                announcement = self._read(pair)
            except ProtocolError as error:
                refused[pair.key] = error
            else:
                found[announcement.id] = Peer.announced(announcement, self.kind)
        self._note_refused(refused)
        if self._written and not answer.more:
            ours = found.get(self._written.id)
            if not ours or ours.announcement != self._written:
                self._written = None
        return tuple(found.values())

    def close(self) -> None:
        """See ``Registry``."""
        self._client.close()

    def _key(self, peer_id: PeerId) -> str:
        return f"{self._prefix}{peer_id}"

    def _renew(self, deadline: Deadline) -> None:
        """Let our lease begin anew; _LeaseLostError if there is none, or none any more."""
        if (lease := self._lease) is None:
            raise _LeaseLostError
        answers = self._call(lambda: list(self._client.refresh_lease(lease)), deadline)
        if not any(answer.TTL > 0 for answer in answers):
            raise _LeaseLostError

    def _grant(self, deadline: Deadline) -> None:
        self._lease = self._taken = self._written = None
        self._lease = self._call(lambda: self._client.lease(self._ttl), deadline).id

    def _write(self, announcement: Announcement, deadline: Deadline) -> None:
        """Put our record under our lease, unless it is there already; ClashError if it cannot be.

        What stands at our key may be another peer's, so it is replaced only as it was seen.
        """
        if announcement == self._written:
            return
        key, value = self._key(announcement.id), record.encode(announcement)
        self._written = None  # a put whose answer is lost may have been done or not
        self._taken = announcement.id
        ways = self._client.transactions
        seen = ways.create(key) == 0
        put, get = ways.put(key, value, self._lease), ways.get(key)
        while True:
            done, answers = self._call(
                lambda: self._client.transaction([seen], [put], [get]),  # noqa: B023 - called now
                deadline,
            )
            if done:
                break
            seen = ways.create(key) == 0
            for there, about in answers[0]:
                if about.lease_id != self._lease:
                    _raise_if_anothers(there, announcement)
                seen = ways.mod(key) == about.mod_revision
        self._written = announcement

    def _read(self, pair: "_Pair") -> Announcement:
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

    def _call(self, rpc: Callable[[], T], deadline: Deadline) -> T:
        """Give what ``rpc`` gives, trying again until the deadline; RegistryError otherwise."""
        if deadline.passed:  # gRPC might answer all the same, from a connection that is warm
            raise RegistryError("no time left to ask etcd")
        backoff = Backoff(0.05, 0.5, self._rng)
        while True:
            self._client.timeout = min(RPC_SECONDS, deadline.left)
            try:
                return rpc()
            except (Etcd3Exception, grpc.RpcError) as error:
                _raise_if_final(error)
                delay = backoff.next()
                if delay >= deadline.left:
                    raise RegistryError(f"no answer from etcd at {self._names}") from error
            self._forgive_all()
            threading.Event().wait(delay)

    def _forgive_all(self) -> None:
        """If no endpoint is left to try, let all be tried again.

        The client shuns an endpoint that failed for a second by the wall clock, which may be
        set back meanwhile.
        """
        if all(endpoint.is_failed() for endpoint in self._endpoints):
            for endpoint in self._endpoints:
                endpoint.last_failed = 0


class _LeaseLostError(RegistryError):
    """Our lease ran out or was revoked; a new one is needed."""

    def __init__(self) -> None:
        super().__init__("etcd has lost our lease")


def _endpoint(address: Address) -> "_Endpoint":
    host = f"[{address.host}]" if ":" in address.host else address.host
    endpoint: _Endpoint = Endpoint(
        host, address.port, secure=False, time_retry=1.0, opts=_CHANNEL_OPTIONS
    )
    return endpoint


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


def _raise_if_final(error: Exception) -> None:
    """Raise what trying again would not change; the client passes such errors on as they are."""
    if not isinstance(error, grpc.Call):
        return
    code = error.code()
    if code is grpc.StatusCode.NOT_FOUND:
        raise _LeaseLostError from error
    if code is not grpc.StatusCode.UNKNOWN:
        raise RegistryError(f"etcd refused: {error.details()}") from error


class _Endpoint(Protocol):
    last_failed: float

    def is_failed(self) -> bool: ...


class _Pair(Protocol):
    key: bytes
    value: bytes


class _Listing(Protocol):
    kvs: Iterable[_Pair]
    more: bool


class _Lease(Protocol):
    id: int


class _Renewal(Protocol):
    TTL: int


class _About(Protocol):
    lease_id: int
    mod_revision: int


class _Ways(Protocol):
    """How transactions are made."""

    def create(self, key: str) -> object: ...

    def mod(self, key: str) -> object: ...

    def put(self, key: str, value: bytes, lease: int | None) -> object: ...

    def get(self, key: str) -> object: ...


class _Client(Protocol):
    """The part of the untyped client that we use."""

    timeout: float
    metadata: tuple[tuple[str, str], ...]
    transactions: _Ways

    def lease(self, ttl: int) -> _Lease: ...

    def refresh_lease(self, lease_id: int) -> Iterator[_Renewal]: ...

    def revoke_lease(self, lease_id: int) -> None: ...

    def transaction(
        self, compare: list[object], success: list[object], failure: list[object]
    ) -> tuple[bool, list[list[tuple[bytes, _About]]]]: ...

    def get_prefix_response(self, key_prefix: str, *, limit: int) -> _Listing: ...

    def close(self) -> None: ...
