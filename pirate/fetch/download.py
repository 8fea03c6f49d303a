"""One `get`, from a digest to a verified file."""

import hashlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from pirate.deadline import Deadline
from pirate.disk.partfile import PartFile
from pirate.errors import (
    IntegrityError,
    LiedError,
    LocalIOError,
    PeerError,
    StoppedError,
    TimedOutError,
    TransferFailedError,
)
from pirate.fetch.stream import stream
from pirate.fetch.swarm import Holder, nobody, says_no, search
from pirate.model import Address, Digest, Entry, Peer
from pirate.net.channel import LEAST_PROGRESS
from pirate.net.dial import Dialer
from pirate.policy.backoff import Backoff
from pirate.scope import Stop

log = logging.getLogger(__name__)

# Rounds in a row that bring less than the least progress before a download is given up, and
# the pauses between them in seconds: a peer that restarts is back within them.
FRUITLESS_ROUNDS = 3
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0


_Where = tuple[Address, ...]

_EMPTY = hashlib.sha1(usedforsecurity=False).digest()


class _NoRoomError(PeerError):
    """Make room, or choose another folder."""


class Observer(Protocol):
    """Watches a download; called from its thread, so it returns at once."""

    def started(self, entry: Entry, resumed: int) -> None:
        """The first holder was found; ``resumed`` bytes are there from before."""

    def added(self, peer: Peer) -> None:
        """Bytes are asked of ``peer`` from now on."""

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """No more bytes are asked of ``peer``, which has sent ``sent``."""

    def progress(self, done: int, size: int) -> None:
        """``done`` of ``size`` bytes are there."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all downloads of one command share."""

    dialer: Dialer
    observer: Observer
    deadline: Deadline
    stop: Stop


@dataclass(slots=True)
class Received:
    """What a download has cost, in bytes and seconds; ``sources`` by the peers that sent them."""

    size: int | None = None
    resumed: int = 0
    elapsed: float = 0.0
    sources: dict[Peer, int] = field(default_factory=dict)

    @property
    def received(self) -> int:
        """Bytes that came over the network."""
        return sum(self.sources.values())


class Download:
    """Fetches one file into a part file, holder after holder, hashing what comes.

    Bytes of several holders may follow each other; a digest that then is wrong convicts
    nobody, so the last of them sends all of it again: its own bytes acquit or convict it.
    """

    def __init__(
        self,
        digest: Digest,
        part: PartFile,
        terms: Terms,
        found: Callable[[Entry], None],
    ) -> None:
        """``found`` sees the first holder's entry before anything is fetched, and may raise."""
        self._digest = digest
        self._part = part
        self._dialer = terms.dialer
        self._observer = terms.observer
        self._deadline = terms.deadline
        self._stop = terms.stop
        self._found = found
        self.report = Received()
        self._claimed: int | None = None  # the size that the bytes so far were fetched under
        self._done = 0
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        # Peers are told apart by where they were dialled: an id is only what a peer says.
        self._senders: set[_Where | None] = set()  # of the bytes so far; None: an earlier run
        self._liars: set[_Where] = set()
        self._begun = False
        self._problem: PeerError | None = None

    def run(self, peers: Callable[[], Sequence[Peer]]) -> None:
        """Fetch and verify; the part file is whole then.

        ``peers`` gives whom to ask, anew for every round. Raises NotFound-, NoNetwork-,
        TransferFailed-, Integrity-, TimedOut- or LocalIOError, or what ``found`` raised;
        what has arrived of the file stays in the part file.
        """
        began = time.monotonic()
        if not self._done:
            self._resume()
        pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE, random.Random())  # noqa: S311 - jitter
        fruitless = 0
        while True:
            done, liars = self._done, len(self._liars)
            if self._round(peers()):
                self.report.size = self._done
                self.report.elapsed = time.monotonic() - began
                return
            better = self._done >= done + LEAST_PROGRESS or len(self._liars) > liars
            fruitless = 0 if better else fruitless + 1
            if fruitless == FRUITLESS_ROUNDS:
                if isinstance(self._problem, LiedError):
                    raise self._lied
                raise TransferFailedError(f"{self._state}: {self._problem}")
            self._pause(pauses.next())

    def _resume(self) -> None:
        """Hash what an earlier run has left, so that it need not be fetched again."""
        for piece in self._part.pieces():
            self._sha1.update(piece)
            self._done += len(piece)
            self._pause(0)
        self.report.resumed = self._done
        if self._done:
            self._senders.add(None)

    def _round(self, peers: Sequence[Peer]) -> bool:
        """Ask everybody once and fetch from each that has it, until the file is whole."""
        missed: list[tuple[Peer, PeerError]] = []
        liars = 0
        with closing(
            search(self._digest, peers, self._dialer, self._deadline, self._stop)
        ) as answers:
            for peer, answer in answers:
                if isinstance(answer, PeerError):
                    missed.append((peer, answer))
                elif peer.addresses in self._liars:
                    liars += 1
                elif self._fetch(answer):
                    return True
                else:
                    liars += peer.addresses in self._liars
        self._pause(0)
        if liars and liars + sum(map(says_no, missed)) == len(peers):
            raise self._lied
        if not self._begun:
            raise nobody(str(self._digest), len(peers), missed)
        if isinstance(self._problem, _NoRoomError) and not self.report.received:
            raise LocalIOError(f"no space for {self._digest}: {self._problem}")
        if missed and not self._problem:
            self._problem = missed[0][1]
        return False

    def _fetch(self, holder: Holder) -> bool:
        """Fetch what is missing from one holder; True if the file is whole and verified."""
        peer, entry = holder
        if not self._begun:
            self._begun = True
            self._found(entry)
            self._observer.started(entry, self._done)
        self._observer.added(peer)
        before = self.report.sources.get(peer, 0)
        try:
            self._fetch_rest(peer, entry)
        except PeerError as error:
            log.info("%s dropped: %s", peer, error)
            self._problem = error
            self._observer.dropped(peer, error, self.report.sources.get(peer, 0) - before)
            return False
        return True

    def _fetch_rest(self, peer: Peer, entry: Entry) -> None:
        where = peer.addresses
        if entry.size or self._digest == _EMPTY:
            self._check_room(entry.size)
            self._stream(peer, entry.size)
            if self._sha1.digest() == self._digest:
                return
            suspects = self._senders
            self._start_over()
            if not suspects <= {where}:
                self._fetch_rest(peer, entry)
                return
        self._liars.add(where)
        raise LiedError(f"sent {entry.size} bytes that are not {self._digest}")

    def _stream(self, peer: Peer, size: int) -> None:
        """Fetch up to ``size``; what is there is given up only once other bytes have come."""
        goes_on = size == self._claimed or (self._claimed is None and size >= self._done)
        at = self._done if goes_on else 0
        if at < size:
            with self._dialer.talk(peer, self._deadline, self._stop) as conversation:
                for piece in stream(conversation, self._digest, at, size, self._deadline):
                    if self._done != at:
                        self._start_over()
                    self._claimed = size
                    self._take(peer, piece)
                    at += len(piece)
                    self._observer.progress(at, size)
                    self._pause(0)
        elif self._done != at:
            self._start_over()

    def _take(self, peer: Peer, piece: memoryview) -> None:
        self._sha1.update(piece)
        self._part.write(piece, self._done)
        self._senders.add(peer.addresses)
        self._done += len(piece)
        self.report.sources[peer] = self.report.sources.get(peer, 0) + len(piece)

    def _start_over(self) -> None:
        self._part.truncate(0)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._senders = set()
        self._claimed = None
        self._done = 0

    def _check_room(self, size: int) -> None:
        """A holder that claims more than fits is asked for nothing; it may be a lie."""
        missing = size - self._done
        if missing > (room := self._part.room):
            raise _NoRoomError(f"{missing} bytes are missing, {room} are free")

    def _pause(self, seconds: float) -> None:
        """Wait; raises TimedOutError or Stopped if it is time to end."""
        if self._stop.wait(min(seconds, self._deadline.left)):
            raise StoppedError("stopped")
        if self._deadline.passed:
            raise TimedOutError(self._state)

    @property
    def _lied(self) -> IntegrityError:
        count = len(self._liars)
        return IntegrityError(f"{count} peers claim to have {self._digest}, none sent it")

    @property
    def _state(self) -> str:
        return f"{self._done} bytes of {self._digest} are here"
