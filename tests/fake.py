"""A listening socket behind which something plays a peer; what it plays is its behaviour."""

import contextlib
import math
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from honest import SOON, hello, listen

from pirate.model import Address, Peer
from pirate.scope import Scope, Stop
from pirate.wire.frames import HEADER_SIZE, Header


class GoneError(Exception):
    """The other side has closed, or the test is over."""


class Line:
    """One connection that a fake peer has accepted."""

    def __init__(self, sock: socket.socket, stop: Stop, name: str) -> None:
        self.sock = sock
        self.stop = stop
        self.name = name

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise GoneError from error

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                more = self.sock.recv(count - len(data))
            except OSError as error:
                raise GoneError from error
            if not more:
                raise GoneError
            data += more
        return data

    def frame(self) -> tuple[Header, bytes]:
        header = Header.decode(self.exactly(HEADER_SIZE))
        return header, self.exactly(header.length)

    def introduce(self) -> None:
        """Exchange hellos, as an honest server does."""
        self.send(hello(self.name).frame(0))
        self.frame()

    @property
    def closed(self) -> bool:
        """Whether the other side closes, without another byte, within the socket's timeout."""
        try:
            return not self.sock.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True

    def hold(self) -> None:
        """Stay silent until the other side goes."""
        while True:
            self.exactly(1)


@contextlib.contextmanager
def client(address: Address, *, introduced: bool = True, host: str = "127.0.0.1") -> Iterator[Line]:
    """Dial a real server with a bare socket; ``introduced`` exchanges hellos."""
    with socket.create_connection(address, SOON, (host, 0)) as sock:
        line = Line(sock, Stop(), "client")
        if introduced:
            line.frame()
            line.send(hello("client").frame(0))
        yield line


Behaviour = Callable[[Line], None]


class Fake:
    """A listening socket and a thread for each connection, all of which do the same."""

    def __init__(self, behaviour: Behaviour, *, name: str = "", port: int = 0) -> None:
        self.behaviour = behaviour
        self.name = name or getattr(behaviour, "__name__", type(behaviour).__name__.lower())
        self.accepted = 0
        self._first = math.inf  # when the first connection came
        self._listener = listen(port=port)
        self.address = Address(*self._listener.getsockname())
        self.peer = Peer((self.address,), name=self.name)
        self._scope = Scope()

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._scope.spawn(self.name, self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._scope.__exit__(None, None, None)
        self._listener.close()

    @property
    def seconds(self) -> float:
        """Since the first connection came: what a process does, without the time it starts in."""
        return time.monotonic() - self._first

    def _accept(self) -> None:
        while not self._scope.stop.is_set:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._first = min(self._first, time.monotonic())
            self.accepted += 1
            line = Line(sock, self._scope.stop, self.name)
            self._scope.spawn(f"{self.name} {self.accepted}", lambda line=line: self._serve(line))  # type: ignore[misc]

    def _serve(self, line: Line) -> None:
        def abort() -> None:
            with contextlib.suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)

        with line.sock, line.stop.waking(abort), contextlib.suppress(GoneError):
            self.behaviour(line)


@dataclass
class Proxy:
    """Passes bytes on to a real server, counts them, and cuts connections off.

    ``cut`` lists after how many bytes from the server each connection in turn ends.
    """

    target: Address
    cut: list[int] = field(default_factory=list)
    sent: int = 0

    def __call__(self, line: Line) -> None:
        limit = self.cut.pop(0) if self.cut else None
        with socket.create_connection(self.target) as upstream, Scope(line.stop) as scope:

            def up() -> None:
                with contextlib.suppress(OSError):
                    while data := line.sock.recv(65536):
                        upstream.sendall(data)
                with contextlib.suppress(OSError):
                    upstream.shutdown(socket.SHUT_RDWR)

            scope.spawn(f"{line.name} up", up)
            passed = 0
            while data := upstream.recv(65536):
                data = data[: None if limit is None else limit - passed]
                self.sent += len(data)
                passed += len(data)
                line.send(data)
                if passed == limit:
                    break
            with contextlib.suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)
