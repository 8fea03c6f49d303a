"""A few downloads abreast, each in a thread; what is not theirs is done by whoever waits for them.

That thread owns the terminal and the view of the network. So what a download tells, and whom it
asks for, goes there.
"""

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Generic, TypeVar

from pirate.errors import PeerError, PirateError, StoppedError
from pirate.fetch.terms import Observer
from pirate.model import Entry, Peer
from pirate.scope import Scope, Stop

# How long a download may take to end: it may wait for the disk, and nothing wakes it then.
GRACE_SECONDS = 60.0

J = TypeVar("J")
R = TypeVar("R")
V = TypeVar("V")


class Abreast(Generic[J, R]):
    """Does ``work`` for several jobs at once. ``run`` is for one thread, once."""

    def __init__(self, work: Callable[[J, Stop], R], stop: Stop) -> None:
        """``work`` is called in threads, and raises PirateError if it fails."""
        self._work = work
        self._stop = stop
        self._done: list[tuple[J, R | PirateError]] = []
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def run(
        self, jobs: Sequence[J], at_once: int
    ) -> Generator[tuple[J, R | PirateError], None, None]:
        """Yield each job with what came of it, the one that ends first first.

        Close the generator to break off. Raises StoppedError.
        """
        waiting: queue.SimpleQueue[J] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        left = len(jobs)
        with (
            Scope(self._stop, grace=GRACE_SECONDS) as scope,
            scope.stop.waking(lambda: self._calls.put(None)),
        ):
            for number in range(min(at_once, left)):
                scope.spawn(f"get {number}", lambda: self._drain(waiting, scope.stop))
            while left:
                if (call := self._calls.get()) is None:
                    raise StoppedError("stopped")
                call()
                while self._done:
                    left -= 1
                    yield self._done.pop()

    def tell(self, call: Callable[[], None]) -> None:
        """Have it called by the thread of ``run``, in turn; for other threads."""
        self._calls.put(call)

    def ask(self, question: Callable[[], V], stop: Stop) -> V:
        """What it gives, or raises, in the thread of ``run``. Raises StoppedError."""
        answers: list[V] = []
        errors: list[PirateError] = []
        answered = threading.Event()

        def answer() -> None:
            try:
                answers.append(question())
            except PirateError as error:
                errors.append(error)
            finally:
                answered.set()

        with stop.waking(answered.set):
            self.tell(answer)
            answered.wait()
        for error in errors:
            raise error
        for each in answers:
            return each
        raise StoppedError("stopped")

    def _drain(self, waiting: "queue.SimpleQueue[J]", stop: Stop) -> None:
        """Do one job after the other; the body of each thread."""
        while not stop.is_set:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                outcome: R | PirateError = self._work(job, stop)
            except PirateError as error:
                outcome = error
            self.tell(partial(self._done.append, (job, outcome)))


class Relay:
    """An observer whose downloads run in other threads than what it tells."""

    def __init__(self, observer: Observer, tell: Callable[[Callable[[], None]], None]) -> None:
        self._observer = observer
        self._tell = tell

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        self._tell(partial(self._observer.started, entry, resumed))

    def added(self, peer: Peer) -> None:
        """See ``Observer``."""
        self._tell(partial(self._observer.added, peer))

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """See ``Observer``."""
        self._tell(partial(self._observer.dropped, peer, error, sent))

    def gave(self, peer: Peer, count: int) -> None:
        """See ``Observer``."""
        self._tell(partial(self._observer.gave, peer, count))

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        self._tell(partial(self._observer.progress, done, size))
