"""A real server of a real folder, in this process, and what tests need to talk to it."""

import hashlib
import math
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

from pirate.deadline import Deadline
from pirate.disk.tree import Shares
from pirate.library import Library
from pirate.model import Address, Digest, Known, Peer, PeerId
from pirate.net.dial import Dialer
from pirate.net.reception import Limits
from pirate.scope import Scope, Stop
from pirate.serve.handler import Handler
from pirate.serve.server import Server
from pirate.wire.messages import Hello

# What has to happen happens before SOON is over, on the slowest machine. Who is QUICK has not
# waited for anything that lasts until SOON.
SOON = 20.0
QUICK = 5.0
NEVER = Deadline(math.inf)


def hello(name: str, *, oldest: int = 1, newest: int = 1) -> Hello:
    """An introduction; the peer id is made from the name."""
    return Hello(oldest, newest, 0, PeerId(hashlib.md5(name.encode()).digest()), name, "test/1")


def digest_of(content: bytes) -> Digest:
    return Digest(hashlib.sha1(content).digest())


def some_bytes(size: int, seed: int = 0) -> bytes:
    """``size`` bytes that do not repeat; the same for the same seed."""
    return random.Random(seed).randbytes(size)


def listen(host: str = "127.0.0.1", port: int = 0, backlog: int = 4096) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(backlog)
    return listener


def dialer(*, connect: float = 5.0, stall: float = 5.0) -> Dialer:
    """A dialler that waits for less than the real one."""
    return Dialer(hello("client"), connect=connect, stall=stall)


class Honest:
    """A library and a server, running while the ``with`` block does.

    Scans are the test's: ``put`` and ``scan`` bring the catalog up to date at once.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "honest",
        port: int = 0,
        limits: Limits | None = None,
        drain: float = 1.0,
        answer: Callable[..., None] | None = None,
        known: Callable[[], Known] = Known,
    ) -> None:
        self.folder = folder
        self.library = Library(Shares([str(folder)]), rescan=SOON, threads=2)
        listener = listen(port=port)
        self.address = Address(*listener.getsockname())
        self.peer = Peer((self.address,), name=name)
        self.stop = Stop()
        self.ended = threading.Event()
        self._server = Server(
            listener,
            lambda seen: replace(hello(name), seen=str(seen)),
            answer or Handler(self.library, known=known).answer,
            limits=limits or Limits(),
            drain=drain,
        )
        self._scope = Scope(self.stop)

    def __enter__(self) -> Self:
        self.scan()
        self._scope.__enter__()
        self._scope.spawn("server", self._run)
        return self

    def __exit__(self, *error: object) -> None:
        self._scope.__exit__(None, None, None)

    def _run(self) -> None:
        self._server.run(self._scope.stop)
        self.ended.set()

    @property
    def waiting(self) -> int:
        """Requests that no worker has taken yet."""
        return self._server._tasks.qsize()

    @property
    def ending(self) -> bool:
        """Whether it lets answers finish, and begins no other."""
        return self._server._ending

    @property
    def parked(self) -> int:
        """Guests that ask nothing now."""
        return len(self._server._reception._parked)

    def put(self, name: str, content: bytes) -> Digest:
        """Share a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.scan()
        return digest_of(content)

    def scan(self) -> None:
        self.library.scan(Stop())

    def connect(self) -> socket.socket:
        """Open a bare connection."""
        return socket.create_connection(self.address, SOON)
