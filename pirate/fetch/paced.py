"""A conversation under a limit on speed: asked for no more than is paid for."""

from collections import deque
from typing import Protocol

from pirate.deadline import Deadline
from pirate.model import Digest
from pirate.net.channel import Channel
from pirate.scope import Stop
from pirate.throttle import Throttle

_NEVER = Deadline.within(None)


class Source(Protocol):
    """Where bytes come from, as ``Conversation`` gives them."""

    @property
    def channel(self) -> Channel:
        """What it comes over."""

    def read(self, digest: Digest, offset: int, length: int) -> None:
        """Ask for a range; ``data_into`` gives its bytes. Several may be outstanding."""

    def data_into(self, view: memoryview, deadline: Deadline = ...) -> int:
        """Some of the bytes of the oldest outstanding range into ``view``; how many."""


class Paced:
    """A source that is asked piece by piece, each when its turn has come.

    Bytes that were asked for come as fast as they can, so nobody who waits for his turn is
    taken for one who has stalled: the peer owes nothing meanwhile, and blocks on nothing.
    """

    def __init__(self, source: Source, throttle: Throttle, stop: Stop) -> None:
        self._source = source
        self._throttle = throttle
        self._stop = stop
        self._wanted: deque[tuple[Digest, int, int]] = deque()
        self._owed = 0  # bytes of the piece that was asked for and has not come

    @property
    def channel(self) -> Channel:
        """See ``Source``."""
        return self._source.channel

    def read(self, digest: Digest, offset: int, length: int) -> None:
        """See ``Source``."""
        self._wanted.append((digest, offset, length))

    def data_into(self, view: memoryview, deadline: Deadline = _NEVER) -> int:
        """See ``Source``."""
        if self._owed == 0:
            self._ask()
        count = self._source.data_into(view, deadline)
        self._owed -= count
        return count

    def _ask(self) -> None:
        digest, offset, length = self._wanted.popleft()
        self._owed = min(length, self._throttle.piece)
        if self._owed < length:
            self._wanted.appendleft((digest, offset + self._owed, length - self._owed))
        self._throttle.spend(self._owed, self._stop)
        self._source.read(digest, offset, self._owed)
