"""One connection's worker for many small files: ask, receive, verify, hand over."""

import hashlib
import time
from collections import deque
from collections.abc import Callable  # noqa: TC003 - of attributes

from pirate.errors import LiedError, RefusedError
from pirate.fetch.desk import Desk
from pirate.fetch.terms import Received, Terms
from pirate.model import Digest, Entry, Peer
from pirate.net.pipeline import OUTSTANDING, Pipeline
from pirate.scope import Stop

# Files up to this size are received into memory as a whole; larger ones are downloaded by
# segments. Under a limit on speed it is what may be asked for at once.
SMALL_BYTES = 4 * 1024 * 1024

# Under a limit on speed so few questions are outstanding: what was asked for has to be received
# before the next ones have been waited for, or the peer takes us for stalled.
PACED_OUTSTANDING = 8

# What is taken from the list at once.
TAKE_FILES = 64

# So many wrong files, and whoever sent them is asked for no more.
MOST_LIES = 3

# How often a holder that has nothing to do looks for what others owe, in seconds.
LOOK_SECONDS = 0.1


class Errand:
    """Asks one peer for all of the list that others have not brought. For one thread."""

    def __init__(
        self, holder: int, peer: Peer, pipeline: Pipeline, desk: Desk, terms: Terms
    ) -> None:
        """``holder`` is the number of ``peer`` at the desk."""
        self._holder = holder
        self._peer = peer
        self._pipeline = pipeline
        self._desk = desk
        self._terms = terms
        throttle = terms.throttle
        self._small = throttle.piece if throttle else SMALL_BYTES
        self._most = PACED_OUTSTANDING if throttle else OUTSTANDING
        self._waiting: deque[int] = deque()  # to be asked about
        self._known: deque[tuple[int, Entry]] = deque()  # to be read
        self._asked: deque[Callable[[], None]] = deque()
        self._lies = 0

    def run(self, stop: Stop) -> None:
        """Until there is nothing more to ask. Raises any PeerError."""
        while not stop.is_set:
            self._ask(stop)
            if not self._asked:
                if self._desk.over(self._holder):
                    return
                stop.wait(LOOK_SECONDS)
                continue
            self._pipeline.flush()
            least = len(self._asked) // 2
            while len(self._asked) > least:
                self._asked.popleft()()

    def _ask(self, stop: Stop) -> None:
        """Have as much asked for as may be; what is known to be here before what is not."""
        while len(self._asked) < self._most:
            if self._known:
                self._read(*self._known.popleft(), stop)
                continue
            if not self._waiting:
                self._waiting.extend(self._desk.take(self._holder, TAKE_FILES))
            if not self._waiting:
                return
            self._stat(self._waiting.popleft())

    def _stat(self, number: int) -> None:
        digest = self._desk.digest(number)
        self._pipeline.stat(digest)
        self._asked.append(lambda: self._hear(number, digest))

    def _hear(self, number: int, digest: Digest) -> None:
        answer = self._pipeline.entry(digest)
        if isinstance(answer, RefusedError):
            self._desk.refused(self._holder, number, answer)
        elif answer.entry.size > self._small:
            self._desk.postpone(number)
        elif self._desk.wants(number, answer.entry):
            self._known.append((number, answer.entry))

    def _read(self, number: int, entry: Entry, stop: Stop) -> None:
        if self._terms.throttle:
            self._pipeline.flush()
            self._terms.throttle.spend(entry.size, stop)
        self._pipeline.read(entry.digest, entry.size)
        began = time.monotonic()
        self._asked.append(lambda: self._receive(number, entry, began))

    def _receive(self, number: int, entry: Entry, began: float) -> None:
        data = self._pipeline.data(entry.size)
        if isinstance(data, RefusedError):
            if data.code == "busy":
                raise data
            self._desk.refused(self._holder, number, data)
        elif hashlib.sha1(data, usedforsecurity=False).digest() != entry.digest:
            error = LiedError(f"sent something else as {entry.digest}")
            self._desk.refused(self._holder, number, error)
            self._lies += 1
            if self._lies == MOST_LIES:
                raise error
        else:
            received = Received(size=entry.size, sources={self._peer: entry.size})
            received.elapsed = time.monotonic() - began
            self._desk.bring(self._holder, number, data, received)
