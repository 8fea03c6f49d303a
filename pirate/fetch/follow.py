"""Following a download: what is proven goes out in order, while the rest still comes."""

import os
import select
import stat
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pirate.chain import INITIAL, Link, length, segments, start
from pirate.deadline import Deadline
from pirate.disk.partfile import PartFile
from pirate.disk.sha1 import Sha1
from pirate.errors import IntegrityError, PirateError, TimedOutError
from pirate.fetch.download import Download
from pirate.model import Digest

# How often a follower that has written all that is proven looks for more, and how often one
# whose reader takes nothing looks whether all is over; in seconds.
LOOK_SECONDS = 0.02
BLOCKED_SECONDS = 0.2


class Sink:
    """A descriptor to write to. Use it as a context manager."""

    def __init__(self, out: int) -> None:
        """``out`` stays the caller's."""
        self._out = out
        self._own: int | None = None

    def __enter__(self) -> Self:
        # A pipe is opened once more: the flag is not forced on others who have it open.
        if stat.S_ISFIFO(os.fstat(self._out).st_mode):
            try:
                self._own = os.open(f"/proc/self/fd/{self._out}", os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # no /proc, or a pipe of another user: then a write may block
                self._own = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._own is not None:
            os.close(self._own)

    def write(self, data: memoryview, check: Callable[[], None]) -> None:
        """Write all of ``data``; ``check`` is called now and then, and may raise to end it."""
        out = self._out if self._own is None else self._own
        room = select.poll()
        room.register(out, select.POLLOUT)
        while data:
            check()
            try:
                data = data[os.write(out, data) :]
            except BlockingIOError:
                room.poll(1000 * BLOCKED_SECONDS)


class Follower:
    """Writes a file to a sink as it comes: one thread downloads, another one writes.

    What was written is a prefix that led SHA-1 from its fixed start to ``_state``, link by
    link. Nothing says that it is the digest's before the chain is closed: that is what ``run``
    makes sure of at the end, and what only its return tells.
    """

    def __init__(self, download: Download, part: PartFile, sink: Sink, deadline: Deadline) -> None:
        self._download = download
        self._part = part
        self._sink = sink
        self._deadline = deadline
        self._index = 0
        self._written = 0
        self._state = INITIAL
        self._last: Link | None = None  # of what was written
        self._ended = threading.Event()
        self._error: PirateError | None = None
        self._whole = False

    def download(self, run: Callable[[], None]) -> None:
        """The body of the thread that downloads: ``run`` does it."""
        try:
            run()
            self._whole = True
        except PirateError as error:
            self._error = error
        finally:
            self._ended.set()

    def run(self, digest: Digest) -> None:
        """Write all of it. Raises what ended the download, OSError of the sink, IntegrityError."""
        while True:
            ended = self._ended.is_set()
            if self._last and self._download.disproved(self._index - 1, self._last):
                raise self._made_up(digest)
            if not self._step():
                if ended:
                    break
                self._ended.wait(LOOK_SECONDS)
            self._check()
        if self._error:
            raise self._error
        if self._whole:
            self._finish(digest)

    def _step(self) -> bool:
        """Write the next segment if it is there and goes on from what was written."""
        link = self._download.proven(self._index)
        if link is None or link.before != self._state or self._offset(link) != self._written:
            return False
        data = memoryview(bytearray(length(link.size, self._index)))
        self._part.read_into(data, self._written)
        # Hashed again: others may be writing there. What goes out is what has been verified.
        sha1 = Sha1(link.before, self._written)
        sha1.update(data)
        last = self._index == segments(link.size) - 1
        if link.after != (sha1.digest() if last else sha1.state()):
            return False
        self._write(data)
        self._state = link.after
        self._last = link
        self._index += 1
        return True

    def _offset(self, link: Link) -> int:
        return start(link.size, self._index) if self._index < segments(link.size) else -1

    def _finish(self, digest: Digest) -> None:
        """Write what is left of the whole and verified part file."""
        if self._written and self._state != digest and not self._leads_to(digest):
            raise self._made_up(digest)
        for piece in self._part.pieces(self._written):
            self._write(piece)

    def _made_up(self, digest: Digest) -> IntegrityError:
        return IntegrityError(
            f"{self._written} bytes that a holder vouched for were written, and are not"
            f" {digest}: trust none of them"
        )

    def _leads_to(self, digest: Digest) -> bool:
        """Whether what was written and the rest of the part file are the whole."""
        sha1 = Sha1(self._state, self._written)
        for piece in self._part.pieces(self._written):
            sha1.update(piece)
            self._check()
        return sha1.digest() == digest

    def _write(self, data: memoryview) -> None:
        self._sink.write(data, self._check)
        self._written += len(data)

    def _check(self) -> None:
        if self._error:
            raise self._error
        if self._deadline.passed:
            raise TimedOutError(f"{self._written} bytes were written")
