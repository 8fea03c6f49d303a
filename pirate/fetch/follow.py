"""Following a download: what is proven goes out in order, while the rest still comes."""

import os
import select
import stat
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pirate.byterange import WHOLE, ByteRange
from pirate.chain import Link, length, segments, start
from pirate.deadline import Deadline
from pirate.disk.partfile import PartFile
from pirate.disk.sha1 import Sha1
from pirate.errors import IntegrityError, PirateError, TimedOutError
from pirate.fetch.download import Download
from pirate.model import Digest
from pirate.pages import pages

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
    """Writes a file, or a range, to a sink as it comes: one thread downloads, another one writes.

    What was written lies in segments that led SHA-1 from ``_before`` to ``_state``, link by
    link. Nothing says that it is the digest's before the chain is closed, or, of a range, that
    it is what the holders vouch for before the download is over: that is what ``run`` makes
    sure of at the end, and what only its return tells.
    """

    def __init__(
        self,
        download: Download,
        part: PartFile,
        sink: Sink,
        deadline: Deadline,
        asked: ByteRange = WHOLE,
    ) -> None:
        self._download = download
        self._part = part
        self._sink = sink
        self._deadline = deadline
        self._asked = asked
        self._turn: range | None = None  # the segments to write; unknown until the size is
        self._size = 0
        self._written = 0
        self._before = b""
        self._state = b""
        self._last: tuple[int, Link] | None = None  # of what was written
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
            if self._last and self._download.disproved(*self._last):
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
        if self._turn is None and self._download.size is not None:
            self._size = self._download.size
            self._turn = self._asked.segments(self._size)
        if not self._turn:
            return False
        index = self._turn[0]
        link = self._download.proven(index)
        if link is None or link.size != self._size or (self._state and link.before != self._state):
            return False
        data = self._proven(index, link)
        if data is None:
            return False
        offset = start(self._size, index)
        first, stop = self._asked.within(self._size)
        self._write(data[max(0, first - offset) : stop - offset])
        self._before = self._before or link.before
        self._state = link.after
        self._last = index, link
        self._turn = self._turn[1:]
        return True

    def _proven(self, index: int, link: Link) -> memoryview | None:
        """The bytes of a segment. Hashed again, for others may be writing there."""
        offset = start(link.size, index)
        data = pages(length(link.size, index))
        self._part.read_into(data, offset)
        sha1 = Sha1(link.before, offset)
        sha1.update(data)
        last = index == segments(link.size) - 1
        return data if link.after == (sha1.digest() if last else sha1.state()) else None

    def _finish(self, digest: Digest) -> None:
        """Write what is left of the verified part file."""
        first, stop = self._asked.within(self._part.size)
        if self._written and not self._right(digest):
            raise self._made_up(digest)
        for piece in self._part.pieces(first + self._written, stop):
            self._write(piece)

    def _made_up(self, digest: Digest) -> IntegrityError:
        return IntegrityError(
            f"{self._written} bytes that a holder vouched for were written, and are not"
            f" {digest}: trust none of them"
        )

    def _right(self, digest: Digest) -> bool:
        """Whether what was written is what the part file has there, now that it is verified."""
        if self._asked == WHOLE:
            return self._state == digest or self._leads_to(digest)
        written = self._asked.segments(self._size)
        written = written[: len(written) - len(self._turn or ())]
        first, last = (self._download.proven(index) for index in (written[0], written[-1]))
        if first and last:
            return (first.before, last.after, last.size) == (self._before, self._state, self._size)
        return self._lies_between(start(self._size, written[0]), start(self._size, written.stop))

    def _leads_to(self, digest: Digest) -> bool:
        """Whether what was written and the rest of the part file are the whole."""
        sha1 = Sha1(self._state, self._written)
        self._hash(sha1, self._written, self._part.size)
        return sha1.digest() == digest

    def _lies_between(self, begin: int, end: int) -> bool:
        """Whether SHA-1 of the part file, which is whole, has our states here and there."""
        sha1 = Sha1()
        self._hash(sha1, 0, begin)
        if self._part.size != self._size or sha1.state() != self._before:
            return False
        self._hash(sha1, begin, min(end, self._size))
        return self._state == (sha1.digest() if end >= self._size else sha1.state())

    def _hash(self, sha1: Sha1, begin: int, end: int) -> None:
        for piece in self._part.pieces(begin, end):
            sha1.update(piece)
            self._check()

    def _write(self, data: memoryview) -> None:
        self._sink.write(data, self._check)
        self._written += len(data)

    def _check(self) -> None:
        if self._error:
            raise self._error
        if self._deadline.passed:
            raise TimedOutError(f"{self._written} bytes were written")
