"""Many files at once: the small ones by pipelined requests, a few connections for all of them.

Done here is what is simple. Whatever is not, as a large file, one that nobody sent right, or a
name that is taken meanwhile, is left ``later`` for ``fetch/get.py``, which does each by itself.
"""

import logging
import queue
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence

from pirate.errors import (
    ExistsError,
    LostError,
    PeerError,
    PirateError,
    RefusedError,
    StoppedError,
    UnreachableError,
)
from pirate.fetch.batch import Batch, Named, let_go, publish
from pirate.fetch.desk import Desk
from pirate.fetch.errand import Errand
from pirate.fetch.rounds import BUSY_PAUSE, BUSY_SECONDS
from pirate.fetch.swarm import nobody, says_no
from pirate.fetch.target import Verdict
from pirate.fetch.terms import Terms
from pirate.fetch.wishes import Outcome, Wishes, failure
from pirate.model import Peer
from pirate.net.pipeline import Pipeline
from pirate.net.survey import AT_ONCE
from pirate.scope import Scope, Stop

log = logging.getLogger(__name__)

# How often whoever publishes looks up when nothing lands, in seconds. If nothing has, more peers
# are asked at once, since those that are asked may be mute.
LOOK_SECONDS = 0.5

# A connection that is lost takes along what was on its way. So it is tried again, this often in
# a row if nothing comes, after so many seconds.
LOST_TRIES = 3
LOST_PAUSE = 0.2


class Many:
    """Gets many files. ``run`` is for one thread, which publishes; the rest is its workers'."""

    def __init__(self, wishes: Wishes, terms: Terms, *, patient: bool = False) -> None:
        """``patient``: what nobody has is left for later instead of being an error."""
        self._wishes = wishes
        self._terms = terms
        self._patient = patient
        self._desk = Desk(wishes)
        self._waiting: queue.SimpleQueue[Peer] = queue.SimpleQueue()
        self._holders: dict[Peer, int] = {}  # whoever is asked has a number
        self._missed: dict[int, PeerError] = {}
        self._lock = threading.Lock()  # guards _workers
        self._workers = 0

    @property
    def later(self) -> list[int]:
        """After ``run``: the numbers of those that are to be tried one by one."""
        return self._desk.later

    def run(
        self, peers: Callable[[], Sequence[Peer]], widen: Callable[[], bool] = lambda: False
    ) -> Generator[Outcome, None, None]:
        """Get them, and tell of each as soon as it is safe.

        ``peers`` gives whom to ask, and if ``widen`` is true there are more of them now. Close
        the generator to break it off. Raises StoppedError.
        """
        desk = self._desk
        try:
            for outcome in self._wishes.judge_all(self._terms.stop):
                yield desk.settle(outcome)
            while desk.left:
                yield from self._ask_all(peers)
                if self._terms.deadline.passed:
                    desk.postpone_rest()
                elif not desk.left or self._patient or not widen():
                    yield from self._leave()
                    break
        finally:
            self._wishes.folders.close()

    def _ask_all(self, peers: Callable[[], Sequence[Peer]]) -> Iterator[Outcome]:
        """Ask those that were not asked before."""
        try:
            new = [peer for peer in peers() if peer not in self._holders]
        except PirateError:  # each file is to say so by itself
            self._desk.postpone_rest()
            return
        for peer in new:
            self._holders[peer] = len(self._holders)
            self._waiting.put(peer)
        if new:
            yield from self._fetch()
            yield from self._desk.told

    def _leave(self) -> Iterator[Outcome]:
        """What nobody has is an error; of what may be had in another way nothing is said here."""
        if not self._desk.left:
            return
        missed = [(peer, self._missed[number]) for peer, number in self._holders.items()]
        clear = all(says_no(each) or isinstance(each[1], UnreachableError) for each in missed)
        self._desk.postpone_rest(only_doubtful=clear and not self._patient)
        for number in self._desk.missing():
            error = nobody(str(self._wishes[number].digest), len(missed), missed)
            yield self._desk.settle(failure(number, error))

    # The thread that publishes.

    def _fetch(self) -> Iterator[Outcome]:
        batch = self._desk.batch = Batch()
        stop = self._terms.stop
        try:
            with Scope(stop) as scope, scope.stop.waking(batch.close):
                self._hire(scope)
                while True:
                    over = self._workers == 0
                    landed = batch.take(0.0 if over else LOOK_SECONDS)
                    for named in publish(landed, self._wishes.folders):
                        yield from self._published(named)
                    yield from self._desk.told
                    if stop.is_set:
                        raise StoppedError("stopped")
                    if (over and not landed) or self._terms.deadline.passed:
                        return
                    if not landed:
                        self._hire(scope)
        finally:
            for each in batch.take(0):
                self._desk.postpone(each.number)
                let_go(each, self._wishes.folders)

    def _hire(self, scope: Scope) -> None:
        """Let more peers be asked at once."""
        most = min(self._terms.holders, AT_ONCE - self._workers, self._waiting.qsize())
        for _ in range(most):
            with self._lock:
                self._workers += 1
            scope.spawn("many", lambda: self._work(scope.stop))

    def _published(self, named: Named) -> Iterator[Outcome]:
        if isinstance(named.error, ExistsError):
            self._desk.postpone(named.number)
        else:
            verdict = None if named.error else Verdict.WANTED
            yield Outcome(named.number, verdict, named.path, named.received, named.error)

    # The workers, each at one peer at a time.

    def _work(self, stop: Stop) -> None:
        try:
            while self._desk.left and not stop.is_set:
                self._visit(self._waiting.get_nowait(), stop)
        except queue.Empty:
            pass
        finally:
            with self._lock:
                self._workers -= 1
            self._desk.batch.wake()

    def _visit(self, peer: Peer, stop: Stop) -> None:
        """Ask a peer for all; again after a break as long as it brings something."""
        desk, holder = self._desk, self._holders[peer]
        waited, tries = 0.0, LOST_TRIES
        while True:
            before = desk.join(holder)
            error = self._ask(holder, peer, stop)
            brought = desk.leave(holder)
            self._missed[holder] = error or RefusedError("not_found", "")
            if error is None or stop.is_set or not desk.left:
                return
            pause = error.retry_after if isinstance(error, RefusedError) else 0.0
            if brought > before:
                waited, tries = 0.0, LOST_TRIES
            elif isinstance(error, LostError):
                tries -= 1
                pause = LOST_PAUSE
            waited += pause
            fruitless = brought == before and not pause
            if fruitless or waited > BUSY_SECONDS or not tries:
                log.info("%s dropped: %s", peer, error)
                if brought:
                    self._terms.observer.dropped(peer, error, brought)
                return
            stop.wait(min(pause, BUSY_PAUSE))

    def _ask(self, holder: int, peer: Peer, stop: Stop) -> PeerError | None:
        terms = self._terms
        try:
            with terms.dialer.talk(peer, terms.deadline, stop) as conversation:
                met = peer.met(conversation.peer.peer, conversation.peer.name)
                pipeline = Pipeline(conversation, terms.deadline)
                Errand(holder, met, pipeline, self._desk, terms).run(stop)
        except PeerError as error:
            traceback.clear_frames(error.__traceback__)  # it is kept, the buffers must not be
            return error
        return None
