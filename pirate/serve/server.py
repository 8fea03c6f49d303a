"""Reception in front, workers behind, and an end that lets running answers finish."""

import logging
import queue
import socket
import threading
from collections.abc import Callable

from pirate.deadline import Deadline
from pirate.errors import PeerError
from pirate.model import Address
from pirate.net.guest import Guest
from pirate.net.reception import Limits, Reception
from pirate.scope import Scope, Stop
from pirate.wire.messages import Hello, Read, Request

log = logging.getLogger(__name__)

WORKERS = 64

# A worker that nobody else waits for stays with its guest for so long, in seconds: the next
# request is on its way, and the way by the reception costs 0.1 CPU s a GiB.
LINGER_SECONDS = 0.005

# After a range as large as this the next one is sent when the guest asks for more, or has had so
# long to do so: it is at the end of the last one then. Else two lie in the socket's buffers, cold
# when they are read (0.58 CPU s a GiB instead of 0.44).
LARGE_BYTES = 64 * 1024

_Task = tuple[Guest, int, Request]


class Server:
    """Serves one listening socket. ``run`` is a thread's body."""

    def __init__(
        self,
        listener: socket.socket,
        greet: Callable[[Address], Hello],
        answer: Callable[..., None],
        *,
        limits: Limits,
        drain: float,
    ) -> None:
        """``greet`` makes our HELLO for the guest at an address.

        ``answer(channel, number, request, host)`` sends one answer; ``drain`` is in seconds.
        """
        # Called with every request that is not right behind another: who asks, and from where.
        self.met: Callable[[Address, Hello], None] = lambda _seen, _hello: None
        self._answer = answer
        self._drain = drain
        self._reception = Reception(listener, greet, self._dispatch, limits)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards the two numbers below
        self._unanswered = 0
        self._workers = 0
        self._all_answered = threading.Condition(self._lock)
        self._scope = Scope()  # its own: a stop lets running answers finish first
        self._ending = False

    @property
    def answering(self) -> int:
        """How many guests are being answered, or have a request that waits for that."""
        return self._unanswered

    def run(self, stop: Stop) -> None:
        """Serve until stopped; then ``drain`` seconds for answers to finish and to arrive."""
        with self._scope:
            self._reception.run(stop)
            self._ending = True
            deadline = Deadline.within(self._drain)
            with self._lock:
                self._all_answered.wait_for(lambda: self._unanswered == 0, deadline.left)
            self._reception.see_off(deadline)

    def _dispatch(self, guest: Guest, number: int, request: Request) -> None:
        """Queue a request; start another worker if all are busy and there may be more."""
        if guest.hello:
            self.met(guest.address, guest.hello)
        with self._lock:
            self._unanswered += 1
            if hire := self._unanswered > self._workers and self._workers < WORKERS:
                self._workers += 1
                worker = self._workers
        self._tasks.put((guest, number, request))
        if hire:
            self._scope.spawn(f"serve {worker}", self._work)

    def _work(self) -> None:
        stop = self._scope.stop
        with stop.waking(lambda: self._tasks.put(None)):
            while task := self._tasks.get():
                guest, number, request = task
                keep = False
                try:
                    with stop.waking(guest.channel.abort):
                        keep = self._serve(guest, number, request) and not self._ending
                finally:
                    self._reception.release(guest, keep=keep)
                    with self._lock:
                        self._unanswered -= 1
                        self._all_answered.notify_all()

    def _serve(self, guest: Guest, number: int, request: Request) -> bool:
        """Answer this request and those that wait behind it; whether to keep the guest."""
        asked: tuple[int, Request] | None = (number, request)
        try:
            while asked and not self._ending:
                self._answer(guest.channel, *asked, guest.address.host)
                asked = self._next(guest, asked[1])
        except PeerError as error:
            log.debug("%s: %s", guest, error)
            guest.turn_away(error)
            return False
        except Exception:  # a bug in one answer ends one connection, and is told
            log.exception("%s: cannot answer %s", guest, type(request).__name__)
            return False
        return True

    def _next(self, guest: Guest, answered: Request) -> tuple[int, Request] | None:
        """The request behind the one that was answered, if it has come or comes soon."""
        large = isinstance(answered, Read) and answered.length >= LARGE_BYTES
        if not large and (asked := guest.next_request()):
            return asked
        stays = isinstance(answered, Read) and self._tasks.empty()
        return guest.next_request() if guest.receive(LINGER_SECONDS if stays else 0.0) else None
