"""Ask many peers the same thing at once; take the answers as they come."""

import contextlib
import math
import queue
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import Generic, TypeVar

from pirate.deadline import Deadline
from pirate.errors import PeerError, StalledError
from pirate.model import Address, Peer
from pirate.scope import Scope, Stop

T = TypeVar("T")

# Threads beyond this only queue for the interpreter, as long as answers come.
AT_ONCE = 32

# When none has come for so many seconds the threads wait, for peers that are silent: as many again
# ask others. Each takes four descriptors while it dials, and a process may have but 1,024.
SILENCE_SECONDS = 0.1
MOST_AT_ONCE = 128

# Whoever asks keeps to the time that it has, but for the resolver of names, which knows none. So
# much later than all should have answered it is not waited for.
_GRACE = 1.2

Ask = Callable[[Peer, Deadline, Stop], T]


def survey(  # noqa: PLR0913 - two of them are how long who is waited for
    peers: Sequence[Peer],
    ask: Ask[T],
    deadline: Deadline,
    stop: Stop,
    *,
    patience: Callable[[], float] = lambda: math.inf,
    each: float = math.inf,
) -> Generator[tuple[Peer, T | PeerError], None, None]:
    """Yield every peer with what ``ask`` returned for it, or the PeerError it raised.

    The quickest comes first, and silence of some does not keep the others from being asked.
    A peer has ``each`` seconds to answer from when it is asked; who has not answered by the
    deadline gets a StalledError. So does everybody who is left when no answer has come for
    ``patience()`` seconds, which is asked after each. Close the generator (``closing``) to
    break off what is still being asked.
    """

    def timed(peer: Peer, stop: Stop) -> T:
        return ask(peer, deadline.at_most(each), stop)

    unheard = dict.fromkeys(peers)
    with Scope(stop) as scope:
        crew = _Crew(_in_rounds(peers), timed, scope)
        with scope.stop.waking(crew.wake):
            while unheard:
                until = deadline.at_most(min(patience(), _GRACE * each))
                if (answer := crew.next(until)) is None:
                    break
                unheard.pop(answer[0], None)
                yield answer
        if scope.stop.is_set:
            return
    for peer in unheard:
        yield peer, StalledError("does not answer in time")


class _Crew(Generic[T]):
    """The threads that ask, and the answers that they bring."""

    def __init__(self, peers: Sequence[Peer], ask: Callable[[Peer, Stop], T], scope: Scope) -> None:
        self._ask = ask
        self._scope = scope
        self._size = 0
        self._waiting: queue.SimpleQueue[Peer] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Peer, T | PeerError] | None] = queue.SimpleQueue()
        for peer in peers:
            self._waiting.put(peer)
        self._hire()

    def next(self, deadline: Deadline) -> tuple[Peer, T | PeerError] | None:
        """The next answer; None if there is none by the deadline, or after ``wake``."""
        soon = deadline.at_most(SILENCE_SECONDS)
        while True:
            try:
                return self._answers.get(timeout=min(soon.left, threading.TIMEOUT_MAX))
            except queue.Empty:
                if deadline.passed:
                    return None
                soon = deadline.at_most(SILENCE_SECONDS) if self._hire() else deadline

    def wake(self) -> None:
        """Let ``next`` return."""
        self._answers.put(None)

    def _hire(self) -> bool:
        """Let more of them ask, if there is somebody to be asked."""
        more = min(AT_ONCE, MOST_AT_ONCE - self._size, self._waiting.qsize())
        for number in range(self._size, self._size + more):
            self._scope.spawn(f"ask {number}", self._work)
        self._size += more
        return more > 0

    def _work(self) -> None:
        stop = self._scope.stop
        with contextlib.suppress(queue.Empty):
            while not stop.is_set:
                peer = self._waiting.get_nowait()
                try:
                    self._answers.put((peer, self._ask(peer, stop)))
                except PeerError as error:
                    self._answers.put((peer, error))


def _in_rounds(peers: Sequence[Peer]) -> list[Peer]:
    """Each address, and each host, once before any comes again.

    A thousand records that name one do not hide the others, nor keep everybody waiting for it.
    """
    addresses: Counter[Address] = Counter()
    hosts: Counter[str] = Counter()
    rounds = []
    for peer in peers:
        address = peer.addresses[0] if peer.addresses else Address("", 0)
        rounds.append((addresses[address], hosts[address.host], peer))
        addresses[address] += 1
        hosts[address.host] += 1
    return [peer for *_, peer in sorted(rounds, key=lambda each: each[:2])]
