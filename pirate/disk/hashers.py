"""Other processes that read small files, since one interpreter is too slow for several cores.

Whatever goes wrong with them, what they have not read is told of as such.
"""

import contextlib
import logging
import os
import queue
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from pirate.disk.hasher import order, receive, send
from pirate.disk.tree import Listing
from pirate.scope import Scope, Stop

log = logging.getLogger(__name__)

# So many orders are under way to each: it has the next one when it is done with one. They and
# their answers fit the buffers of a socket, so that nobody waits for the other to read.
_AHEAD = 2

_END_SECONDS = 1.0

_PACKAGE = Path(__file__).parents[2]


class Read(NamedTuple):
    """Files as they were found, a row for the hash cache of each that is still so, None else.

    ``settled`` is not 0 for those whose row may be kept.
    """

    listing: Listing
    rows: list[bytes | None]
    settled: bytes


_Asked = queue.SimpleQueue[Listing | None]
_Done = queue.SimpleQueue[Read | None]


class _Hasher:
    """One of the processes."""

    def __init__(self) -> None:
        """Raise OSError if there cannot be another."""
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(filter(None, (str(_PACKAGE), os.environ.get("PYTHONPATH"))))
        with theirs, ours:
            self._process = subprocess.Popen(  # -P: what lies in the current folder is not run
                [sys.executable, "-P", "-m", "pirate.disk.hasher"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for us
                env={**os.environ, "PYTHONPATH": path},
            )
            self._file = ours.makefile("rwb")

    def work(self, asked: _Asked, done: _Done) -> None:
        """Have it read what is asked for, until that is None; a thread's body."""
        under_way: deque[Listing] = deque()
        ended = False
        while under_way or not ended:
            with contextlib.suppress(queue.Empty):
                while not ended and len(under_way) < _AHEAD:
                    listing = asked.get(block=not under_way)
                    ended = listing is None
                    if listing:
                        under_way.append(listing)
                        self._order(listing)
            if under_way:
                done.put(self._answer(under_way.popleft()))

    def kill(self) -> None:
        """End it now, in the middle of whatever; from any thread."""
        self._process.kill()

    def close(self) -> None:
        """End it, and wait until it has ended."""
        with contextlib.suppress(OSError):
            self._file.close()
        for _ in range(2):
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()  # it reads from a disk that does not answer
            else:
                return
        log.warning("process %s, which reads files for us, does not end", self._process.pid)

    def _order(self, listing: Listing) -> None:
        with contextlib.suppress(OSError):  # it has ended, and will not answer
            send(self._file, order(listing))

    def _answer(self, listing: Listing) -> Read:
        with contextlib.suppress(OSError):
            if answer := receive(self._file):
                return Read(listing, *answer)
        return _unread(listing)


class Hashers:
    """The processes, started when they are first needed. Use it as a context manager."""

    def __init__(self, count: int, stop: Stop) -> None:
        """``count`` is how many there may be; ``stop`` kills them."""
        self._count = count
        self._stop = stop
        self._asked: _Asked = queue.SimpleQueue()
        self._done: _Done = queue.SimpleQueue()
        self._under_way = 0
        self._hashers: list[_Hasher] = []
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End them all, whatever they are at."""
        with contextlib.suppress(queue.Empty):
            while self._asked.get_nowait():
                pass
        if self._under_way:
            self._kill()
        self._ends.close()

    @property
    def started(self) -> bool:
        """Whether they have been needed."""
        return bool(self._hashers)

    def ask(self, listing: Listing) -> None:
        """Have some files read. Not more than 64 KiB of names at a time."""
        if not self._hashers:
            self._start()
        self._under_way += 1
        if self._hashers:
            self._asked.put(listing)
        else:
            self._done.put(_unread(listing))

    def read(self, left: int = 0) -> Iterator[Read]:
        """What has been read, until no more than ``left`` answers are awaited, or stopped."""
        while self._under_way > left:
            read = self._done.get()
            if read is None:
                return
            self._under_way -= 1
            yield read

    def _start(self) -> None:
        for _ in range(self._count):
            try:
                self._hashers.append(_Hasher())
            except OSError as error:
                log.info("no more than %s processes to read with: %s", len(self._hashers), error)
                break
            self._ends.callback(self._hashers[-1].close)
        scope = self._ends.enter_context(Scope())
        self._ends.enter_context(self._stop.waking(self._kill))
        for index, hasher in enumerate(self._hashers):
            scope.spawn(f"hasher {index}", partial(hasher.work, self._asked, self._done))
            self._ends.callback(self._asked.put, None)

    def _kill(self) -> None:
        for hasher in self._hashers:
            hasher.kill()
        self._done.put(None)


def _unread(listing: Listing) -> Read:
    count = len(listing.names)
    return Read(listing, [None] * count, bytes(count))
