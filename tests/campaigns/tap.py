"""A connection that is listened to: what a get asks of its holders, and when."""

import contextlib
import socket
import threading
import time
from typing import Self

from pirate.model import Address
from pirate.wire.frames import HEADER_SIZE, Header, Kind
from pirate.wire.messages import Read

BUFFER_BYTES = 64 * 1024


class Asked:
    """What has been asked through all taps together; safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all below
        self._reads: list[tuple[int, int]] = []
        self._chains = 0

    @property
    def reads(self) -> list[tuple[int, int]]:
        """Offset and length of every range that was asked for."""
        with self._changed:
            return list(self._reads)

    def clear(self) -> None:
        """Forget; a new run begins."""
        with self._changed:
            self._reads.clear()
            self._chains = 0

    def note(self, kind: int, body: bytes) -> None:
        """A frame went by."""
        with self._changed:
            if kind == Kind.READ:
                read = Read.decode(body)
                self._reads.append((read.offset, read.length))
            elif kind == Kind.CHAIN:
                self._chains += 1
            self._changed.notify_all()

    def wait(self, *, chains: int = 0, reads: int = 0, seconds: float) -> bool:
        """Until so many were asked for; False if that takes longer than ``seconds``."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._chains >= chains and len(self._reads) >= reads, seconds
            )


class Tap:
    """Stands before a peer, lets everything pass, and notes what is asked."""

    def __init__(
        self, target: Address, asked: Asked, pause: float = 0.0, *, shut: bool = False
    ) -> None:
        """``pause``: seconds between two pieces of 64 KiB, to be as slow as a network.

        It may be changed at any time.
        One that is ``shut`` refuses connections until it is opened.
        """
        self._target = target
        self._asked = asked
        self.pause = pause
        self._cut = threading.Event()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self._lock = threading.Lock()  # guards _sockets and _threads
        self._sockets: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        if not shut:
            self.open()

    def open(self) -> None:
        """Accept connections from now on."""
        self._listener.listen(128)
        self._spawn(self._accept)

    def cut(self) -> None:
        """Let nothing pass from now on, and close nothing, as if a cable were cut."""
        self._cut.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sockets, threads = list(self._sockets), list(self._threads)
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    def _spawn(self, run: object, *arguments: object) -> None:
        def body() -> None:
            with contextlib.suppress(OSError):
                run(*arguments)  # type: ignore[operator]
            with self._lock:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=body, name="tap")
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            self._spawn(self._pass, client)

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection((self._target.host, self._target.port)) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {client, server}
            try:
                self._spawn(self._answers, server, client)
                self._questions(client, server)
            finally:
                for each in (client, server):
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)
                with self._lock:
                    self._sockets -= {client, server}

    def _questions(self, client: socket.socket, server: socket.socket) -> None:
        """Frame by frame; one is noted before the peer has it."""
        buffered = b""
        while data := client.recv(BUFFER_BYTES):
            buffered += data
            while len(buffered) >= HEADER_SIZE:
                header = Header.decode(buffered[:HEADER_SIZE])
                end = HEADER_SIZE + header.length
                if len(buffered) < end:
                    break
                self._asked.note(header.kind, buffered[HEADER_SIZE:end])
                buffered = buffered[end:]
            if not self._cut.is_set():
                server.sendall(data)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(BUFFER_BYTES):
                if self._cut.is_set():
                    continue
                client.sendall(data)
                if self.pause:
                    time.sleep(self.pause)
        finally:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
