"""Reach a peer: connect, exchange hellos, and keep idle connections to be used again."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pirate.deadline import Clock, Deadline
from pirate.errors import LostError, PeerError, RefusedError, UnreachableError
from pirate.model import Address, Peer, PeerId
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
        stop: Stop,
        *,
        connect: float = CONNECT_SECONDS,
        stall: float = STALL_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        """``hello`` is how we introduce ourselves; ``stop`` ends whatever waits in here."""
        self._hello = hello
        self._stop = stop
        self._connect = connect
        self._stall = stall
        self._clock = clock
        self._lock = threading.Lock()  # guards _idle
        self._idle: dict[PeerId | Address, list[tuple[float, Conversation]]] = {}

    @contextmanager
    def talk(self, peer: Peer, deadline: Deadline) -> Iterator[Conversation]:
        """A conversation with ``peer``, for the one thread that asked.

        It is kept afterwards unless it broke: anything but a RefusedError closes it.
        """
        conversation = self._kept(peer) or self._open(peer, deadline)
        fit = False
        try:
            with self._stop.waking(conversation.channel.abort):
                yield conversation
            fit = True
        except RefusedError:
            fit = True
            raise
        finally:
            if fit and conversation.idle and not self._stop.is_set:
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
                several = self._idle.get(peer.key)
                if not several:
                    return None
                since, conversation = several.pop()
            if self._clock() - since < KEEP_SECONDS and conversation.channel.quiet:
                return conversation
            conversation.channel.close()

    def _keep(self, peer: Peer, conversation: Conversation) -> None:
        with self._lock:
            several = self._idle.setdefault(peer.key, [])
            if len(several) < KEEP_PER_PEER:
                several.append((self._clock(), conversation))
                return
        conversation.channel.close()

    def _open(self, peer: Peer, deadline: Deadline) -> Conversation:
        problem: PeerError = UnreachableError("no address")
        for address in peer.addresses:
            try:
                return self._introduced(address, deadline)
            except PeerError as error:
                log.debug("%s at %s: %s", peer, address, error)
                problem = error
        raise problem

    def _introduced(self, address: Address, deadline: Deadline) -> Conversation:
        channel = self._connected(address, deadline)
        try:
            with self._stop.waking(channel.abort):
                return Conversation.introduce(channel, self._hello, deadline)
        except BaseException:
            channel.close()
            raise

    def _connected(self, address: Address, deadline: Deadline) -> Channel:
        """Try what the address resolves to, in order. Raises UnreachableError."""
        problem: OSError | UnicodeError = OSError("no address")
        try:
            found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: no host name at all
            raise UnreachableError(f"{address.host!r} is not a known host") from error
        for family, kind, protocol, _, where in found:
            sock = socket.socket(family, kind, protocol)
            try:
                self._connect_one(sock, where, deadline)
                return Channel(sock, stall=self._stall)
            except OSError as error:
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
        raise UnreachableError(_reason(problem)) from problem

    def _connect_one(self, sock: socket.socket, where: object, deadline: Deadline) -> None:
        def wake() -> None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

        sock.settimeout(max(0.001, min(self._connect, deadline.left)))
        with self._stop.waking(wake):
            sock.connect(where)  # type: ignore[arg-type]  # as getaddrinfo gave it
        if self._stop.is_set:
            raise LostError("stopped")


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer"
    return (error.strerror or str(error)).lower()
