"""Somebody who has nothing to do with it, and to whom false records send others."""

import contextlib
from typing import Self

from honest import listen

from pirate.model import Address


class Victim:
    """Ports of a host that has nothing to do with it and speaks only when spoken to."""

    def __init__(self, ports: int = 1) -> None:
        self.listeners = [listen("127.0.0.77") for _ in range(ports)]
        self.addresses = [Address(*each.getsockname()) for each in self.listeners]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.listeners:
            each.close()

    def accepted(self) -> tuple[int, int]:
        """How many connections have come, and how many bytes on them."""
        connections, count = 0, 0
        for listener in self.listeners:
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock, _ = listener.accept()
                    with sock, contextlib.suppress(BlockingIOError):
                        connections += 1
                        sock.setblocking(False)
                        count += len(sock.recv(4096))
        return connections, count
