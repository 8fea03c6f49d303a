"""One connection's worker: take a segment, receive it, verify it, hand it over, and again."""

from collections import deque
from collections.abc import Callable

from pirate.chain import Chain
from pirate.disk.sha1 import Sha1
from pirate.errors import LiedError
from pirate.fetch.board import Board, Task, Who
from pirate.fetch.paced import Source
from pirate.pages import pages

# Segments asked for at once on a connection: the next request is out before the present
# segment is read, so no round trip is paid between them.
OUTSTANDING = 2

# Hashed as soon as it has come, while it is still in the processor's cache.
PIECE_BYTES = 256 * 1024


class Fetcher:
    """Fetches segments under one chain until the board has no more. For one thread."""

    def __init__(
        self, who: Who, board: Board, source: Source, chain: Chain, second: Callable[[], None]
    ) -> None:
        """``chain`` is what the peer vouches for; with it, ``who`` has joined the board.

        ``second`` is called if the peer has earned a second connection.
        """
        self._who = who
        self._board = board
        self._source = source
        self._chain = chain
        self._second = second
        self._asked: deque[Task] = deque()

    def run(self) -> None:
        """Fetch. Raises PeerError; LiedError if bytes do not fit the chain."""
        chain = self._chain
        # None of it is taken before bytes come: the size is the word of a stranger.
        buffer = pages(min(chain.segment, chain.size))
        while self._ask_ahead():
            task = self._asked.popleft()
            segment = buffer[: chain.length(task.segment)]
            if self._receive(segment, task.segment) != chain.link(task.segment).after:
                raise LiedError(f"segment {task.segment} is not what the peer vouched for")
            if self._board.land(task, segment):
                self._second()

    def _ask_ahead(self) -> bool:
        """Keep requests outstanding; False if there is nothing left to receive."""
        chain = self._chain
        while len(self._asked) < OUTSTANDING:
            task = self._board.take(self._who, chain, wait=not self._asked)
            if task is None:
                break
            if length := chain.length(task.segment):
                self._source.read(chain.digest, chain.start(task.segment), length)
            self._asked.append(task)
        return bool(self._asked)

    def _receive(self, segment: memoryview, index: int) -> bytes:
        """The hot loop: one segment comes in, and the state that it leads to comes out."""
        sha1 = Sha1(self._chain.link(index).before, self._chain.start(index))
        data_into = self._source.data_into
        filled = hashed = 0
        try:
            while filled < len(segment):
                filled += data_into(segment[filled:])
                if filled - hashed >= PIECE_BYTES or filled == len(segment):
                    sha1.update(segment[hashed:filled])
                    hashed = filled
        finally:
            self._board.count(self._who, filled)
        return sha1.digest() if index == self._chain.count - 1 else sha1.state()
