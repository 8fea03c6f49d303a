"""Calls to an etcd cluster that survive its faults: other members, new tries, a new login."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

# Both are read when gRPC is imported. Its log would go to stderr, which belongs to the command
# line; and its own resolver does not find a name of /etc/hosts while no DNS server answers.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")

import grpc
from etcd3 import Endpoint, MultiEndpointEtcd3Client, etcdrpc
from etcd3.exceptions import Etcd3Exception

from pirate.deadline import Deadline
from pirate.errors import DeniedError, RegistryError
from pirate.model import Address
from pirate.policy.backoff import Backoff
from pirate.registry.access import Access

T = TypeVar("T")

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
_WITH_LEADER = ("hasleader", "true")

_TRANSIENT = (
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
)

# What etcd says to a token that it does not know any more, under three status codes.
_OLD_TOKEN = ("invalid auth token", "revision of auth store is old", "user name is empty")
_WRONG_PASSWORD = "authentication failed"  # noqa: S105 - what etcd says
_NO_USERS = "authentication is not enabled"


class LeaseLostError(RegistryError):
    """Our lease ran out or was revoked; a new one is needed."""

    def __init__(self) -> None:
        super().__init__("etcd has lost our lease")


class Found(NamedTuple):
    """A key that is there."""

    key: bytes
    value: bytes
    lease: int
    revision: int  # of its last change


class Listing(NamedTuple):
    """The keys that begin with a prefix, at one ``revision`` of etcd; ``more``: not all."""

    found: list[Found]
    revision: int
    more: bool


class Client:
    """The etcd cluster whose members are ``endpoints``. Nothing is sent before the first call.

    One thread at a time uses it. Every call may raise RegistryError, by its deadline, and
    DeniedError, which trying again would not change.
    """

    def __init__(self, endpoints: tuple[Address, ...], access: Access) -> None:
        """Raise UsageError if the files of ``access`` cannot be used."""
        self._names = ", ".join(map(str, endpoints))
        self._access = access
        credentials = grpc.ssl_channel_credentials(*access.pem()) if access.ca else None
        self._endpoints = [_endpoint(address, credentials) for address in endpoints]
        self._client: Any = MultiEndpointEtcd3Client(self._endpoints, failover=True)
        self._client.metadata = (_WITH_LEADER,)
        self._logged_in = not access.user
        self._rng = random.SystemRandom()
        self._stream: Stream | None = None

    def grant(self, ttl: int, deadline: Deadline) -> int:
        """A new lease of ``ttl`` seconds."""
        lease: int = self._call(lambda: self._client.lease(ttl), deadline).id
        return lease

    def renew(self, lease: int, deadline: Deadline) -> None:
        """Let a lease begin anew; LeaseLostError if there is none any more."""
        answers = self._call(lambda: list(self._client.refresh_lease(lease)), deadline)
        if not any(answer.TTL > 0 for answer in answers):
            raise LeaseLostError

    def revoke(self, lease: int, deadline: Deadline) -> None:
        """End a lease, and with it the keys that it holds; LeaseLostError if it has ended."""
        self._call(lambda: self._client.revoke_lease(lease), deadline)

    def put_over(
        self, seen: Found | None, key: bytes, value: bytes, lease: int, deadline: Deadline
    ) -> tuple[bool, Found | None]:
        """Put a key if it is still as it was ``seen``: whether that was done, and what is there."""
        ways = self._client.transactions
        condition = ways.mod(key) == (seen.revision if seen else 0)
        done, answers = self._call(
            lambda: self._client.transaction(
                [condition], [ways.put(key, value, lease)], [ways.get(key)]
            ),
            deadline,
        )
        (answer,) = answers
        if done:
            return True, Found(key, value, lease, answer.response_put.header.revision)
        if not answer:
            return False, None
        ((there, about),) = answer
        return False, Found(about.key, there, about.lease_id, about.mod_revision)

    def list(self, prefix: str, limit: int, deadline: Deadline) -> Listing:
        """The first ``limit`` keys that begin with ``prefix``."""
        answer = self._call(lambda: self._client.get_prefix_response(prefix, limit=limit), deadline)
        found = [Found(pair.key, pair.value, pair.lease, pair.mod_revision) for pair in answer.kvs]
        return Listing(found, answer.header.revision, answer.more)

    def watch(self, prefix: str, revision: int) -> "Stream":
        """What changes after ``revision``, until the next ``watch`` or a call that fails."""
        if self._stream:
            self._stream.cancel()
        create = etcdrpc.WatchCreateRequest(
            key=prefix.encode(),
            range_end=(prefix[:-1] + chr(ord(prefix[-1]) + 1)).encode(),
            start_revision=revision + 1,
        )
        request = etcdrpc.WatchRequest(create_request=create)
        try:
            watch = etcdrpc.WatchStub(self._client.channel).Watch
        except Etcd3Exception as error:
            raise RegistryError(f"no answer from etcd at {self._names}") from error
        self._stream = Stream(watch(iter([request]), metadata=self._client.metadata))
        return self._stream

    def close(self) -> None:
        """Let go of connections; a stream ends."""
        self._client.close()

    def _call(self, rpc: Callable[[], T], deadline: Deadline) -> T:
        """Give what ``rpc`` gives, trying again until the deadline; RegistryError otherwise."""
        if deadline.passed:  # gRPC might answer all the same, from a connection that is warm
            raise RegistryError("no time left to ask etcd")
        backoff = Backoff(0.05, 0.5, self._rng)
        fresh = False  # whether this call has logged in
        while True:
            self._client.timeout = min(RPC_SECONDS, deadline.left)
            try:
                fresh = self._log_in() or fresh
                return rpc()
            except (Etcd3Exception, grpc.RpcError) as error:
                if self._access.user and _says(error, *_OLD_TOKEN):
                    self._logged_in = False
                    if not fresh:
                        continue
                else:
                    self._raise_if_final(error)
                    # An etcd that was wiped does not answer to a token of before: it waits
                    # until it has made as many changes as that token has seen.
                    if _status(error)[0] is grpc.StatusCode.DEADLINE_EXCEEDED:
                        self._logged_in = not self._access.user
                if self._stream:
                    self._stream.cancel()
                delay = backoff.next()
                if delay >= deadline.left:
                    message = f"no answer from etcd at {self._names}{_why(error)}"
                    raise RegistryError(message) from error
            self._forgive_all()
            threading.Event().wait(delay)

    def _log_in(self) -> bool:
        """Get a token, unless we have one or need none; whether one was asked for."""
        if self._logged_in:
            return False
        request = etcdrpc.AuthenticateRequest(
            name=self._access.user, password=self._access.password
        )
        self._client.metadata = (_WITH_LEADER,)
        try:
            stub = etcdrpc.AuthStub(self._client.channel)  # its own stays at a dead member
            answer = stub.Authenticate(request, self._client.timeout)
        except grpc.RpcError as error:
            if not _says(error, _NO_USERS):  # as after a wipe; it may know users again later
                if _status(error)[0] in _TRANSIENT:
                    self._client.endpoint_in_use.fail()
                raise
        else:
            self._client.metadata = (_WITH_LEADER, ("token", answer.token))
        self._logged_in = True
        return True

    def _forgive_all(self) -> None:
        """If no endpoint is left to try, let all be tried again.

        The client shuns an endpoint that failed for a second by the wall clock, which may be
        set back meanwhile.
        """
        if all(endpoint.is_failed() for endpoint in self._endpoints):
            for endpoint in self._endpoints:
                endpoint.last_failed = 0

    def _raise_if_final(self, error: Exception) -> None:
        """Raise what trying again would not change."""
        code, details = _status(error)
        if code is None or code in _TRANSIENT:
            return
        if code is grpc.StatusCode.NOT_FOUND:
            raise LeaseLostError from error
        who = f"the user {self._access.user}" if self._access.user else "those without a user"
        if _says(error, _WRONG_PASSWORD):
            raise DeniedError(f"etcd does not know the name or the password of {who}") from error
        if _says(error, *_OLD_TOKEN) or code is grpc.StatusCode.PERMISSION_DENIED:
            raise DeniedError(f"etcd denies {who} our keys") from error
        raise RegistryError(f"etcd refused: {details}") from error


class Stream:
    """What changes in etcd, as it happens. One thread iterates, any thread cancels."""

    def __init__(self, call: Any) -> None:  # noqa: ANN401 - of the untyped client
        self._call = call

    def __iter__(self) -> Iterator[tuple[int, list[tuple[bytes, bytes | None]]]]:
        """A revision, and keys with their values then, None for those that are gone.

        RegistryError at the end. There is no going on from a revision: an etcd that was wiped
        counts anew, and would keep silent until it is there again.
        """
        try:
            for answer in self._call:
                if answer.canceled or answer.compact_revision:
                    why = answer.cancel_reason or f"compacted at {answer.compact_revision}"
                    raise RegistryError(f"etcd ended the watch: {why}")
                changes = [
                    (event.kv.key, None if event.type == event.DELETE else event.kv.value)
                    for event in answer.events
                ]
                yield max((event.kv.mod_revision for event in answer.events), default=0), changes
        except grpc.RpcError as error:
            raise RegistryError("the watch of etcd broke off") from error
        raise RegistryError("etcd ended the watch")

    def cancel(self) -> None:
        """End it."""
        self._call.cancel()


def _endpoint(address: Address, credentials: grpc.ChannelCredentials | None) -> Any:  # noqa: ANN401
    host = f"[{address.host}]" if ":" in address.host else address.host
    settings = {"secure": bool(credentials), "creds": credentials, "time_retry": 1.0}
    return Endpoint(host, address.port, **settings, opts=_CHANNEL_OPTIONS)


def _status(error: object) -> tuple[grpc.StatusCode | None, str]:
    """What gRPC says that went wrong; the library hides it behind errors of its own."""
    if isinstance(error, Etcd3Exception):
        error = error.__context__
    if isinstance(error, grpc.Call):
        return error.code(), error.details() or ""
    return None, ""


def _says(error: Exception, *texts: str) -> bool:
    """Whether etcd refused with one of these texts."""
    return any(text in _status(error)[1] for text in texts)


def _why(error: Exception) -> str:
    """What an operator can mend; gRPC names it somewhere in a long text."""
    details = _status(error)[1].lower()
    if "certificate_verify_failed" in details or "hostname" in details:
        return ": its certificate is not by --etcd-ca, or of another host"
    if "handshake" in details or "tsi_" in details:
        return ": TLS fails; look at --etcd-ca, --etcd-cert and --etcd-key"
    if any(text in details for text in _OLD_TOKEN):
        return ": it does not take its own token"
    return ""
