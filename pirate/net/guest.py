"""The serving side of one connection: what has arrived, and whose turn it is."""

import contextlib
import select
import socket

from pirate.errors import PeerError, ProtocolError, RefusedError
from pirate.model import Address
from pirate.net.channel import Channel
from pirate.wire.frames import HEADER_SIZE, Header
from pirate.wire.messages import Error, ErrorCode, Hello, Request
from pirate.wire.session import ServerSession, agree

_RECEIVE_BYTES = 4096
_REASON_CHARACTERS = 60  # at most 4 bytes each: fits the 255 of ERROR


class Guest:
    """One connection that was accepted.

    Reception and one worker use it by turns, never at the same time. Its memory is bounded:
    a body is kept only if its kind is expected, and then it is small.
    """

    def __init__(self, channel: Channel, address: Address) -> None:
        """``address`` is where it comes from."""
        self.channel = channel
        self.address = address
        self._name = str(address)
        self._session = ServerSession()
        self._inbox = bytearray()
        self._skipping = 0  # bytes still to come of a body that nobody wants

    @property
    def hello(self) -> Hello | None:
        """Its HELLO, if that has come."""
        return self._session.hello

    @property
    def introduced(self) -> bool:
        """Whether its HELLO has come."""
        return self._session.hello is not None

    @property
    def asking(self) -> bool:
        """Whether a frame has begun to come."""
        return bool(self._inbox) or self._skipping > 0

    def receive(self, seconds: float = 0.0) -> bool:
        """Take what has arrived, or arrives within ``seconds``; False if the other side is gone."""
        if seconds:
            coming = select.poll()
            coming.register(self.channel.sock, select.POLLIN)
            coming.poll(1000 * seconds)
        try:
            data = self.channel.sock.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._inbox += data
        return bool(data)

    def next_request(self) -> tuple[int, Request] | None:
        """The next whole request and its number; None if there is none yet.

        Takes the HELLO, and answers what needs no worker. PeerError ends the connection.
        """
        while frame := self._next_frame():
            header, body = frame
            match self._session.received(header, body):
                case Hello() as hello:
                    agree(hello)
                    if hello.name:
                        self._name = f"{hello.name} ({self._name})"
                case request:
                    return header.request, request
        return None

    def _next_frame(self) -> tuple[Header, bytes] | None:
        while self._skip() and len(self._inbox) >= HEADER_SIZE:
            header = Header.decode(self._inbox[:HEADER_SIZE])
            if not self._session.expects(header):
                del self._inbox[:HEADER_SIZE]
                self._skipping = header.length
                if owed := self._session.owed(header):
                    self.send_now(owed.frame(header.request))
                continue
            end = HEADER_SIZE + header.length
            if len(self._inbox) < end:
                return None
            body = bytes(self._inbox[HEADER_SIZE:end])
            del self._inbox[:end]
            return header, body
        return None

    def _skip(self) -> bool:
        """Throw away what is unwanted of the inbox; True if nothing more has to be."""
        count = min(self._skipping, len(self._inbox))
        del self._inbox[:count]
        self._skipping -= count
        return self._skipping == 0

    def turn_away(self, error: PeerError) -> None:
        """Say, if there is room, how the peer broke the protocol; the caller closes it."""
        with contextlib.suppress(PeerError):
            if isinstance(error, RefusedError):
                self.refuse(ErrorCode.VERSION, str(error))
            elif isinstance(error, ProtocolError):
                self.refuse(ErrorCode.BAD_REQUEST, str(error))

    def refuse(self, code: ErrorCode, reason: str, *, retry_after_ms: int = 0) -> None:
        """Say why the connection ends, if there is room; the caller closes it."""
        self.send_now(Error(code, retry_after_ms, reason[:_REASON_CHARACTERS]).frame(0))

    def send_now(self, frame: bytes) -> None:
        """Send a small frame without waiting; PeerError if there is no room for it."""
        try:
            sent = self.channel.sock.send(frame, socket.MSG_DONTWAIT)
        except OSError as error:
            raise PeerError(f"takes no answer: {error.strerror or error}") from error
        if sent < len(frame):
            raise PeerError("takes no answer")

    def __str__(self) -> str:
        return self._name
