"""Whole frames over one socket, for both sides, with `sendfile` and without buffers.

The socket blocks while it receives: SO_RCVTIMEO bounds a call that makes no progress
(``settimeout`` would cost a ``poll`` each time). Sending polls, but only where there is no
room. ``Pace`` bounds what makes too little progress.
One thread at a time uses a channel; only ``abort`` may come from another.
"""

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import NamedTuple

from pirate.deadline import Deadline, Pace
from pirate.errors import LostError, StalledError
from pirate.wire.frames import HEADER_SIZE, Header

# Bytes owed must move at least this fast, in both directions (PROTOCOL.md, "Deadlines").
LEAST_PROGRESS = 64 * 1024

SENDFILE_BYTES = 1024 * 1024
_COPY_BYTES = 256 * 1024

# What `sendfile` says of a file system that it cannot read from.
_NO_SENDFILE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


class Frame(NamedTuple):
    """A header and its whole body."""

    header: Header
    body: bytes


class Channel:
    """Frames over one connected stream socket, which it owns."""

    def __init__(self, sock: socket.socket, *, stall: float) -> None:
        """``stall``: seconds without progress after which the other side is given up."""
        self.sock = sock
        self.stall = stall
        sock.setblocking(True)
        with contextlib.suppress(OSError):  # a Unix socket has no Nagle to switch off
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._set_timeout(stall)

    def send(self, data: bytes) -> None:
        """Send all of ``data``; raises StalledError or LostError."""
        view = memoryview(data)
        self._send_all(
            len(data), lambda at, count: self.sock.send(view[at : at + count], socket.MSG_DONTWAIT)
        )

    def send_file(self, file: int, offset: int, count: int) -> None:
        """Send ``count`` bytes of a file descriptor from ``offset``.

        Raises LostError also when the file ends early: what is owed cannot be paid then.
        """
        # A blocking `sendfile` stays in the kernel while a single byte moves now and then.
        os.set_blocking(self.sock.fileno(), False)
        try:
            self._send_all(
                count,
                lambda at, rest: self._send_some(file, offset + at, min(SENDFILE_BYTES, rest)),
            )
        finally:
            os.set_blocking(self.sock.fileno(), True)

    def _send_all(self, count: int, send: Callable[[int, int], int]) -> None:
        """Call ``send(at, rest)``, which does not block, until ``count`` bytes are sent."""
        pace = Pace(LEAST_PROGRESS, self.stall)
        at = 0
        try:
            while at < count:
                try:
                    sent = send(at, count - at)
                except BlockingIOError:
                    self._wait_for_room()
                    sent = 0
                else:
                    if sent == 0:
                        raise LostError("the file shrank while it was sent")
                at += sent
                if at < count and not pace.kept(sent):
                    raise StalledError(f"takes less than {LEAST_PROGRESS} B in {self.stall:g} s")
        except OSError as error:
            raise LostError(f"connection lost: {error.strerror or error}") from error

    def _wait_for_room(self) -> None:
        room = select.poll()
        room.register(self.sock, select.POLLOUT)
        if not room.poll(1000 * self.stall):
            raise StalledError(f"takes nothing for {self.stall:g} s")

    def _send_some(self, file: int, offset: int, count: int) -> int:
        try:
            return os.sendfile(self.sock.fileno(), file, offset, count)
        except OSError as error:
            if error.errno not in _NO_SENDFILE:
                raise
        return self.sock.send(os.pread(file, min(count, _COPY_BYTES), offset))

    def receive(self, deadline: Deadline) -> Frame:
        """One frame, its body in memory: for everything but DATA."""
        header = self.receive_header(deadline)
        return Frame(header, self.receive_body(header, deadline))

    def receive_header(self, deadline: Deadline) -> Header:
        """The next header; ProtocolError if it is none or announces too much."""
        return Header.decode(self._exactly(HEADER_SIZE, deadline))

    def receive_body(self, header: Header, deadline: Deadline) -> bytes:
        """The body that belongs to a header which has passed its limit."""
        return bytes(self._exactly(header.length, deadline))

    def receive_some(self, view: memoryview) -> int:
        """At least one byte into ``view``; raises StalledError after ``stall`` seconds."""
        try:
            count = self.sock.recv_into(view)
        except BlockingIOError as error:
            raise StalledError(f"sends nothing for {self._waits:.3g} s") from error
        except OSError as error:
            raise LostError(f"connection lost: {error.strerror or error}") from error
        if count == 0:
            raise LostError("connection closed")
        return count

    def patience(self, deadline: Deadline) -> None:
        """Let ``receive_some`` wait for ``stall`` seconds, or less if the deadline is nearer."""
        seconds = min(self.stall, deadline.left)
        if seconds != self._waits:
            self._set_timeout(seconds)

    def _exactly(self, count: int, deadline: Deadline) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            self.patience(deadline)
            view = view[self.receive_some(view) :]
            if view and deadline.passed:
                raise StalledError("does not finish in time")
        return data

    def _set_timeout(self, seconds: float) -> None:
        self._waits = seconds
        whole, fraction = divmod(max(seconds, 0.001), 1)  # 0 would mean "for ever"
        value = struct.pack("ll", int(whole), int(fraction * 1_000_000))
        with contextlib.suppress(OSError):  # an aborted socket; the next call on it tells
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    @property
    def quiet(self) -> bool:
        """Whether the connection is open and nothing waits to be read: fit to be used again."""
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @property
    def undelivered(self) -> int:
        """Bytes sent that the other side's kernel has not acknowledged, where ours tells."""
        try:
            count = fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int.from_bytes(count, sys.byteorder)

    def abort(self) -> None:
        """Wake whoever is blocked on this channel; from any thread, more than once."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket. Only its owner does; to wake another thread, ``abort``."""
        self.sock.close()
