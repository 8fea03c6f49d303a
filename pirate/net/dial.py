"""Reach a peer: connect, exchange hellos, and keep idle connections to be used again."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pirate.deadline import Clock, Deadline
from pirate.errors import PeerError, RefusedError, UnreachableError
from pirate.model import Address, Peer
from pirate.net.channel import Channel
from pirate.net.conversation import Conversation
from pirate.scope import Stop
from pirate.wire.messages import Hello

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
STALL_SECONDS = 10.0

# A server closes what was idle for 60 s; we let go well before it does.
KEEP_SECONDS = 30.0
KEEP_PER_PEER = 4


class Dialer:
    """Opens conversations, and keeps the idle ones. Safe to use from any thread."""

    def __init__(
        self,
        hello: Hello,
        *,
        connect: float = CONNECT_SECONDS,
        stall: float = STALL_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        """``hello`` is how we introduce ourselves; ``connect`` and ``stall`` are in seconds."""
        self._hello = hello
        self._connect = connect
        self._stall = stall
        self._clock = clock
        self._lock = threading.Lock()  # guards _idle
        # By addresses: a peer's id is not known before its HELLO, and no proof after it.
        self._idle: dict[tuple[Address, ...], list[tuple[float, Conversation]]] = {}

    @contextmanager
    def talk(self, peer: Peer, deadline: Deadline, stop: Stop) -> Iterator[Conversation]:
        """A conversation with ``peer``, for the one thread that asked; ``stop`` breaks it off.

        It is kept afterwards unless it broke: anything but a RefusedError closes it.
        Raises PeerError if the peer cannot be reached.
        """
        conversation = self._kept(peer) or self._open(peer, deadline, stop)
        fit = False
        try:
            with stop.waking(conversation.channel.abort):
                yield conversation
            fit = True
        except RefusedError:
            fit = True
            raise
        finally:
            if fit and conversation.idle and not stop.is_set:
                self._keep(peer, conversation)
            else:
                conversation.channel.close()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for _, conversation in (kept for several in idle.values() for kept in several):
            conversation.channel.close()

    def _kept(self, peer: Peer) -> Conversation | None:
        while True:
            with self._lock:
                several = self._idle.get(peer.addresses)
                if not several:
                    return None
                since, conversation = several.pop()
            if self._clock() - since < KEEP_SECONDS and conversation.channel.quiet:
                return conversation
            conversation.channel.close()

    def _keep(self, peer: Peer, conversation: Conversation) -> None:
        with self._lock:
            several = self._idle.setdefault(peer.addresses, [])
            if len(several) < KEEP_PER_PEER:
                several.append((self._clock(), conversation))
                return
        conversation.channel.close()

    def _open(self, peer: Peer, deadline: Deadline, stop: Stop) -> Conversation:
        problem: PeerError = UnreachableError("no address")
        for address in peer.addresses:
            try:
                return self._introduced(address, deadline, stop)
            except PeerError as error:
                log.debug("%s at %s: %s", peer, address, error)
                problem = error
        raise problem

    def _introduced(self, address: Address, deadline: Deadline, stop: Stop) -> Conversation:
        channel = Channel(self._connected(address, deadline, stop), stall=self._stall)
        try:
            with stop.waking(channel.abort):
                return Conversation.introduce(channel, self._hello, deadline)
        except BaseException:
            channel.close()
            raise

    def _connected(self, address: Address, deadline: Deadline, stop: Stop) -> socket.socket:
        """Try what the address resolves to, in order. Raises UnreachableError."""
        try:
            found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: not even the form of a name
            raise UnreachableError(f"{address.host!r} is not a known host") from error
        problem: OSError | None = None
        for family, _, _, _, where in found:
            try:
                return _connect(family, where, deadline.at_most(self._connect), stop)
            except OSError as error:
                problem = error
        raise UnreachableError(_reason(problem)) from problem


def _connect(
    family: socket.AddressFamily, where: tuple[object, ...], deadline: Deadline, stop: Stop
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)

    def wake() -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    try:
        sock.settimeout(max(0.001, deadline.left))
        with stop.waking(wake):
            sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: OSError | None) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer"
    return (error.strerror or str(error)).lower() if error else "has no address"
