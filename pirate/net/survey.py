"""Ask many peers the same thing at once; take the answers as they come."""

import contextlib
import math
import queue
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from pirate.deadline import Deadline
from pirate.errors import PeerError, StalledError
from pirate.model import Address, Peer
from pirate.scope import Scope, Stop

T = TypeVar("T")

# Asking is waiting: threads beyond this only queue for the interpreter.
AT_ONCE = 32

Ask = Callable[[Peer, Deadline, Stop], T]
_Answers = queue.SimpleQueue[tuple[Peer, T | PeerError] | None]


def survey(
    peers: Sequence[Peer],
    ask: Ask[T],
    deadline: Deadline,
    stop: Stop,
    patience: Callable[[], float] = lambda: math.inf,
) -> Generator[tuple[Peer, T | PeerError], None, None]:
    """Yield every peer with what ``ask`` returned for it, or the PeerError it raised.

    The quickest comes first; nobody's silence delays another's answer, and who has not
    answered by the deadline gets a StalledError. So does everybody who is left when no answer
    has come for ``patience()`` seconds, which is asked after each. Close the generator
    (``closing``) to break off what is still being asked.
    """
    waiting: queue.SimpleQueue[Peer] = queue.SimpleQueue()
    answers: _Answers[T] = queue.SimpleQueue()
    for peer in _in_rounds(peers):
        waiting.put(peer)
    unheard = dict.fromkeys(peers)
    with Scope(stop) as scope, scope.stop.waking(lambda: answers.put(None)):
        for number in range(min(AT_ONCE, len(peers))):
            scope.spawn(f"ask {number}", lambda: _work(waiting, answers, ask, deadline, scope.stop))
        while unheard and (answer := _next(answers, deadline.at_most(patience()))):
            unheard.pop(answer[0], None)
            yield answer
        if scope.stop.is_set:
            return
    for peer in unheard:
        yield peer, StalledError("does not answer in time")


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


def _next(answers: _Answers[T], deadline: Deadline) -> tuple[Peer, T | PeerError] | None:
    try:
        return answers.get(timeout=min(deadline.left, threading.TIMEOUT_MAX))
    except queue.Empty:
        return None


def _work(
    waiting: queue.SimpleQueue[Peer],
    answers: _Answers[T],
    ask: Ask[T],
    deadline: Deadline,
    stop: Stop,
) -> None:
    with contextlib.suppress(queue.Empty):
        while not stop.is_set:
            peer = waiting.get_nowait()
            try:
                answers.put((peer, ask(peer, deadline, stop)))
            except PeerError as error:
                answers.put((peer, error))
