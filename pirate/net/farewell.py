"""How connections end when a server does: with all that was sent, or when its time is up.

A socket that is closed with something unread, or is sent something afterwards, answers with a
reset and forgets what it has not delivered. A client on a slow line that has asked for the next
range already would so lose the tail of an answer that was finished long ago.
"""

import contextlib
import select
import socket
import threading
from collections import deque

from pirate.deadline import Deadline
from pirate.net.channel import Channel

# Nothing wakes us when the other side has acknowledged the last byte.
LOOK_SECONDS = 0.01

_DISCARD_BYTES = 64 * 1024


class Farewell:
    """Channels that nobody uses any more. ``part`` may come from any thread."""

    def __init__(self) -> None:
        self._leaving: deque[Channel] = deque()
        self._over = threading.Event()

    def part(self, channel: Channel) -> None:
        """Say that no more comes. Closed now if all has arrived, else when it has."""
        if self._over.is_set() or not channel.undelivered:
            channel.close()
            return
        with contextlib.suppress(OSError):  # gone already; reading it tells
            channel.sock.shutdown(socket.SHUT_WR)
        self._leaving.append(channel)
        if self._over.is_set():
            self._close()

    def wait(self, deadline: Deadline) -> None:
        """Let everybody have what is on the way, and close; who parts later is closed at once."""
        try:
            while self._leaving and not deadline.passed:
                self._look(min(LOOK_SECONDS, deadline.left))
        finally:
            self._over.set()
            self._close()

    def _look(self, seconds: float) -> None:
        """Read away what still comes; close who has everything, or has gone."""
        leaving = list(self._leaving)
        coming = select.poll()
        for channel in leaving:
            coming.register(channel.sock, select.POLLIN)
        ready = {file for file, _ in coming.poll(1000 * seconds)}
        for channel in leaving:
            gone = channel.sock.fileno() in ready and not _read_away(channel.sock)
            if gone or not channel.undelivered:
                self._leaving.remove(channel)
                channel.close()

    def _close(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._leaving.popleft().close()


def _read_away(sock: socket.socket) -> bool:
    """Throw away what has come; False if the other side is gone."""
    try:
        return bool(sock.recv(_DISCARD_BYTES, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except OSError:
        return False
