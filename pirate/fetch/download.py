"""One download: find holders, let a fetcher run for each, until every link holds."""

import math
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import NoReturn

from pirate.byterange import WHOLE, ByteRange
from pirate.chain import NO_CHAIN, Chain, Link
from pirate.deadline import Deadline
from pirate.disk import sha1
from pirate.disk.partfile import PartFile
from pirate.errors import IntegrityError, LiedError, PeerError, TransferFailedError
from pirate.fetch.board import Board, Who
from pirate.fetch.fetcher import Fetcher
from pirate.fetch.landing import Landing
from pirate.fetch.rounds import Rounds
from pirate.fetch.sequential import SequentialDownload
from pirate.fetch.swarm import SEARCH_SECONDS, Holder, holding, nobody, says_no
from pirate.fetch.terms import Received, Terms
from pirate.model import Address, Digest, Entry, Peer
from pirate.net.conversation import Conversation
from pirate.net.survey import survey
from pirate.scope import Scope, Stop

# While a download runs, newcomers that hold the file are looked for this often, in seconds,
# however long mute peers keep the last look waiting.
LOOK_AGAIN_SECONDS = 5.0

# Where there are more, less often: asking 10,000 takes seconds, and each of them some work.
LOOK_AGAIN_PEERS = 250

# How long a holder may take to send its chain: 0.3 MB at most.
CHAIN_SECONDS = 10.0

# Where all holders so far have no chain, others that may have one are waited for as long as
# answers come at all, with no more than so many seconds between them.
UNCHAINED_SECONDS = 0.5


def look_again_seconds(peers: int) -> float:
    """How often newcomers are looked for among so many."""
    return LOOK_AGAIN_SECONDS * max(1.0, peers / LOOK_AGAIN_PEERS)


class Download:
    """Fetches a file, or a range, into a part file, from several holders, none of them trusted."""

    def __init__(
        self,
        digest: Digest,
        part: PartFile,
        terms: Terms,
        found: Callable[[Entry], None],
        asked: ByteRange = WHOLE,
    ) -> None:
        """``found`` sees the first holder's entry before anything is fetched, and may raise."""
        self._asked = asked
        self.report = Received()
        self._digest = digest
        self._part = part
        self._terms = terms
        self._found = found
        self._entry: Entry | None = None
        self._landing: Landing | None = None
        self._board: Board | None = None
        self._over = Stop()
        self._chains: dict[tuple[int, Digest], Chain] = {}
        self._met: dict[tuple[Address, ...], Peer] = {}
        self._unchained = False  # whether a holder without a chain was found in this round

    def run(self, peers: Callable[[], Sequence[Peer]]) -> None:
        """Fetch and verify; the part file is whole then, or has at least what was asked for.

        ``peers`` gives whom to ask, anew for every round. Raises NotFound-, NoNetwork-,
        TransferFailed-, Integrity-, TimedOut- or LocalIOError, or what ``found`` raised;
        what has arrived of the file stays in the part file.
        """
        began = time.monotonic()
        with self._part.journal() as journal:
            self._landing = landing = Landing(self._part, journal, self._asked)
            if self._run_chained(peers, landing):
                self.report.by_digest = self._asked == WHOLE or landing.closed(self._digest)
            else:
                landing.give_up()
                shown = bool(self._chains)
                sequential = SequentialDownload(
                    self._digest, self._part, self._terms, self.report, shown=shown
                )
                sequential.run(partial(self._not_convicted, peers))
            if self._asked == WHOLE:
                journal.remove()
            self.report.size = self._part.size
        self.report.elapsed = time.monotonic() - began

    def proven(self, index: int) -> Link | None:
        """The link that a segment of the part file has proven; None if none has. From any thread.

        It may be a false chain's before the download is over.
        """
        return self._landing.link(index) if self._landing else None

    def disproved(self, index: int, link: Link) -> bool:
        """Whether what a segment was taken for turned out to be made up. From any thread."""
        return self._board is not None and self._board.disproved(index, link)

    @property
    def size(self) -> int | None:
        """The size of the whole file, once it is proven. From any thread."""
        return self._landing.size if self._landing else None

    @property
    def found_more(self) -> bool:
        """Whether an earlier run has left more of the file than what is asked for now."""
        return self._landing is not None and self._landing.more

    def _run_chained(self, peers: Callable[[], Sequence[Peer]], landing: Landing) -> bool:
        """Fetch by chains; False if only holders without one are left, or none can be checked."""
        if not sha1.available():
            return False
        rounds = Rounds()
        with Scope(self._terms.stop) as scope:
            while True:
                before, problem = self._progress, self._problem
                asked = peers()
                look_again = self._terms.deadline.at_most(look_again_seconds(len(asked)))
                missed = self._search(asked, landing, scope)
                if self._wait(look_again):
                    return True
                if self._board and self._board.fetching:
                    continue
                self._terms.pause(0, self._state)
                better = self._progress != before
                if self._unchained and not better:
                    return False
                problems = [error for _, error in missed]
                if self._problem and self._problem is not problem:
                    problems.append(self._problem)
                rounds.note(better=better, problems=problems)
                if not rounds.hopeful:
                    self._give_up_if_hopeless(missed, len(asked))
                if rounds.over:
                    self._give_up(missed)
                self._terms.pause(rounds.pause(), self._state)

    def _search(
        self, peers: Sequence[Peer], landing: Landing, scope: Scope
    ) -> list[tuple[Peer, PeerError]]:
        """Start fetchers at all who hold the file; gives those who do not, and why.

        Who was tried before waits until all have answered, so that whoever fails again and
        again keeps nobody out.
        """
        missed = []
        tried = []
        looking = Stop()  # ends also when there is nothing left to look for
        self._unchained = False
        ask = holding(self._digest, self._terms.dialer)
        answers = survey(
            *(peers, ask, self._terms.deadline, looking),
            patience=self._patience,
            each=SEARCH_SECONDS,
        )
        with scope.stop.waking(looking.set), self._over.waking(looking.set), closing(answers):
            for peer, answer in answers:
                if isinstance(answer, PeerError):
                    missed.append((peer, answer))
                    continue
                if self._entry is None:
                    self._found(answer.entry)
                    self._entry = answer.entry
                # A peer is who is dialled there, whatever it calls itself from now on.
                holder = answer._replace(peer=self._met.setdefault(peer.addresses, answer.peer))
                if answer.chain == NO_CHAIN:
                    self._unchained = True
                elif self._board and holder.peer in self._board.tried:
                    tried.append(holder)
                else:
                    self._start(holder, landing, scope)
                if self._board and self._board.wait(0):
                    break
        for holder in tried:
            self._start(holder, landing, scope)
        if self._board:
            self._board.hear()
        return missed

    def _patience(self) -> float:
        """How long those who do not answer a search are waited for after the last answer."""
        fetching = self._board is not None and self._board.fetching
        return UNCHAINED_SECONDS if self._unchained and not fetching else math.inf

    def _start(self, holder: Holder, landing: Landing, scope: Scope) -> None:
        """Start a fetcher at a holder, unless there are enough."""
        if self._board is None:
            self._board = Board(
                holder.entry,
                landing,
                self._terms.observer,
                self.report,
                over=self._over,
            )
        if self._board.others(holder.peer) < self._terms.holders:
            self._spawn(Who(holder.peer, 0), holder, self._board, scope)

    def _spawn(self, who: Who, holder: Holder, board: Board, scope: Scope) -> None:
        if board.enroll(who, holder.entry.size):
            name = f"fetch {who.peer}"
            scope.spawn(name, partial(self._fetch, who, holder, board, scope))

    def _fetch(self, who: Who, holder: Holder, board: Board, scope: Scope) -> None:
        """The body of a fetcher's thread."""
        terms = self._terms
        stop = scope.stop
        second = partial(self._spawn, Who(who.peer, 1), holder, board, scope)
        error = None
        try:
            with (
                stop.waking(board.close),
                terms.dialer.talk(holder.peer, terms.deadline, stop) as conversation,
            ):
                chain = self._chain(holder, conversation)
                board.join(who, chain)
                Fetcher(who, board, terms.source(conversation, stop), chain, second).run()
        except PeerError as problem:
            traceback.clear_frames(problem.__traceback__)  # it is kept, the buffer must not be
            error = None if stop.is_set else problem
        finally:
            board.leave(who, error)

    def _chain(self, holder: Holder, conversation: Conversation) -> Chain:
        """The chain that a holder vouches for; asked of it unless another has named the same."""
        key = holder.entry.size, holder.chain
        chain = self._chains.get(key)
        if chain is None:
            deadline = self._terms.deadline.at_most(CHAIN_SECONDS)
            chain = conversation.chain(holder.entry, deadline)
            if chain.name != holder.chain:
                raise LiedError("the chain is not the one that the peer vouched for")
            self._chains[key] = chain
        return chain

    def _wait(self, look_again: Deadline) -> bool:
        """Let the fetchers run until then; True if the file is whole."""
        board = self._board
        if board is None:
            return False
        with self._terms.stop.waking(board.close):
            done = board.wait(look_again.left)
        if not done:
            self._terms.pause(0, self._state)
        return done

    def _give_up_if_hopeless(self, missed: list[tuple[Peer, PeerError]], asked: int) -> None:
        """Raise if another round would bring nothing: nobody has it, or only liars do."""
        if self._entry is None:
            raise nobody(str(self._digest), asked, missed)
        liars = len(self._liars)
        if liars and liars + sum(map(says_no, missed)) == asked:
            raise self._lied

    def _give_up(self, missed: list[tuple[Peer, PeerError]]) -> NoReturn:
        problem = self._problem
        if isinstance(problem, LiedError):
            raise self._lied
        if problem is None and missed:
            problem = missed[0][1]
        raise TransferFailedError(f"{self._state}: {problem or 'nobody has it any more'}")

    @property
    def _lied(self) -> IntegrityError:
        count = len(self._liars)
        return IntegrityError(f"{count} peers claim to have {self._digest}, none sent it")

    @property
    def _liars(self) -> frozenset[Peer]:
        return self._board.liars if self._board else frozenset()

    def _not_convicted(self, peers: Callable[[], Sequence[Peer]]) -> list[Peer]:
        liars = {peer.addresses for peer in self._liars}
        return [peer for peer in peers() if peer.addresses not in liars]

    @property
    def _problem(self) -> PeerError | None:
        """Why a peer was dropped, the last one."""
        return self._board.problem if self._board else None

    @property
    def _progress(self) -> tuple[int, int]:
        """What another round may better: the bytes that are proven, the peers that were tried."""
        return (self._board.proven, len(self._board.tried)) if self._board else (0, 0)

    @property
    def _state(self) -> str:
        return f"{self._board.proven if self._board else 0} bytes of {self._digest} are here"
