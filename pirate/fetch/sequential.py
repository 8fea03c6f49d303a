"""A download without chains: one stream, one pass of SHA-1, holder after holder."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from pirate.disk.partfile import PartFile
from pirate.errors import (
    IntegrityError,
    LiedError,
    LocalIOError,
    PeerError,
    TransferFailedError,
)
from pirate.fetch.rounds import Rounds
from pirate.fetch.stream import stream
from pirate.fetch.swarm import Holder, Missed, nobody, says_no, search
from pirate.fetch.terms import Received, Terms
from pirate.model import Address, Digest, Entry, Peer
from pirate.net.channel import LEAST_PROGRESS

log = logging.getLogger(__name__)

_Where = tuple[Address, ...]

_EMPTY = hashlib.sha1(usedforsecurity=False).digest()


class _NoRoomError(PeerError):
    """Make room, or choose another folder."""


class SequentialDownload:
    """Fetches one file into a part file, holder after holder, hashing what comes.

    Bytes of several holders may follow each other; a digest that then is wrong convicts
    nobody, so the last of them sends all of it again: its own bytes acquit or convict it.
    """

    def __init__(
        self,
        digest: Digest,
        part: PartFile,
        terms: Terms,
        report: Received,
        *,
        shown: bool = False,
    ) -> None:
        """``shown``: the observer was told already that the download has started."""
        self._digest = digest
        self._part = part
        self._terms = terms
        self._observer = terms.observer
        self.report = report
        self._claimed: int | None = None  # the size that the bytes so far were fetched under
        self._done = 0
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        # Peers are told apart by where they were dialled: an id is only what a peer says.
        self._senders: set[_Where | None] = set()  # of the bytes so far; None: an earlier run
        self._liars: set[_Where] = set()
        self._shown = shown
        self._found = False
        self._problem: PeerError | None = None

    def run(self, peers: Callable[[], Sequence[Peer]]) -> None:
        """Fetch and verify; the part file is whole then.

        ``peers`` gives whom to ask, anew for every round. Raises NotFound-, NoNetwork-,
        TransferFailed-, Integrity-, TimedOut- or LocalIOError;
        what has arrived of the file stays in the part file.
        """
        began = time.monotonic()
        if not self._done:
            self._resume()
        rounds = Rounds()
        while True:
            done, liars, problem = self._done, len(self._liars), self._problem
            asked = peers()
            missed: list[Missed] = []
            if self._round(asked, missed):
                self.report.size = self._done
                self.report.elapsed = time.monotonic() - began
                return
            better = self._done >= done + LEAST_PROGRESS or len(self._liars) > liars
            problems = [error for _, error in missed]
            if self._problem and self._problem is not problem:
                problems.append(self._problem)
            rounds.note(better=better, problems=problems)
            if not rounds.hopeful:
                self._give_up_if_hopeless(missed, len(asked))
            if rounds.over:
                if isinstance(self._problem, LiedError):
                    raise self._lied
                raise TransferFailedError(f"{self._state}: {self._problem}")
            self._pause(rounds.pause())

    def _resume(self) -> None:
        """Hash what an earlier run has left, so that it need not be fetched again."""
        for piece in self._part.pieces():
            self._sha1.update(piece)
            self._done += len(piece)
            self._pause(0)
        if not self._shown:  # else these are bytes of this run
            self.report.resumed = self._done
        if self._done:
            self._senders.add(None)

    def _round(self, peers: Sequence[Peer], missed: list[Missed]) -> bool:
        """Ask everybody once and fetch from each that has it, until the file is whole.

        Those who do not have it get into ``missed``.
        """
        terms = self._terms
        liars = 0
        with closing(
            search(self._digest, peers, terms.dialer, terms.deadline, terms.stop)
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
        return False

    def _give_up_if_hopeless(self, missed: list[Missed], asked: int) -> None:
        """Raise if another round would bring nothing: nobody has it, or there is no room."""
        if not self._found:
            raise nobody(str(self._digest), asked, missed)
        if isinstance(self._problem, _NoRoomError) and not self.report.received:
            raise LocalIOError(f"no space for {self._digest}: {self._problem}")
        if missed and not self._problem:
            self._problem = missed[0][1]

    def _fetch(self, holder: Holder) -> bool:
        """Fetch what is missing from one holder; True if the file is whole and verified."""
        peer, entry, _ = holder
        self._found = True
        if not self._shown:
            self._shown = True
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
            terms = self._terms
            with terms.dialer.talk(peer, terms.deadline, terms.stop) as conversation:
                source = terms.source(conversation, terms.stop)
                for piece in stream(source, self._digest, at, size, terms.deadline):
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
        self._observer.gave(peer, len(piece))

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
        self._terms.pause(seconds, self._state)

    @property
    def _lied(self) -> IntegrityError:
        count = len(self._liars)
        return IntegrityError(f"{count} peers claim to have {self._digest}, none sent it")

    @property
    def _state(self) -> str:
        return f"{self._done} bytes of {self._digest} are here"
