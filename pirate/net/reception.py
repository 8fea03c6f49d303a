"""Who waits in front of a server: one thread accepts, introduces and parks connections.

It reads whole requests without ever blocking and hands each guest that has one to a worker;
when the answer is out the guest comes back to be parked. So a worker is busy only while it
answers, and a thousand silent connections cost a thousand sockets, not a thread.
"""

import contextlib
import logging
import selectors
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from pirate.deadline import Clock, Deadline
from pirate.errors import PeerError
from pirate.model import Address
from pirate.net.channel import Channel
from pirate.net.farewell import Farewell
from pirate.net.guest import Guest
from pirate.scope import Stop
from pirate.wire.messages import ErrorCode, Hello, Request

log = logging.getLogger(__name__)

ACCEPT_AT_ONCE = 64
BUSY_RETRY_MS = 1000
_BELL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """How many guests there may be, and how long, in seconds, each may keep us waiting."""

    guests: int = 4096
    strangers: int = 256
    strangers_per_host: int = 64
    hello: float = 5.0
    request: float = 10.0
    idle: float = 60.0
    stall: float = 10.0


class _Queue:
    """Guests who wait for the same thing, in the order in which they began to."""

    def __init__(self, seconds: float) -> None:
        """``seconds``: how long each may wait."""
        self._seconds = seconds
        self._due: OrderedDict[Guest, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def of_host(self, host: str) -> list[Guest]:
        return [guest for guest in self._due if guest.address.host == host]

    def add(self, guest: Guest, now: float) -> None:
        self._due.setdefault(guest, now + self._seconds)

    def discard(self, guest: Guest) -> None:
        self._due.pop(guest, None)

    def first(self) -> tuple[Guest, float] | None:
        """Who has waited longest, and when that one's time is up."""
        return next(iter(self._due.items()), None)


class Reception:
    """The selector in front of the workers. ``run`` is a thread's body, it owns all the rest."""

    def __init__(
        self,
        listener: socket.socket,
        greet: Callable[[Address], Hello],
        dispatch: Callable[[Guest, int, Request], None],
        limits: Limits,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        """``greet`` makes our HELLO for a guest at the address where we see it.

        ``dispatch`` takes a guest with its request and, later, calls ``release``.
        """
        self._listener = listener
        self._greet = greet
        self._dispatch = dispatch
        self._limits = limits
        self._clock = clock
        self._guests: set[Guest] = set()
        self._strangers = _Queue(limits.hello)
        self._asking = _Queue(limits.request)
        self._parked = _Queue(limits.idle)
        self._released: deque[tuple[Guest, bool]] = deque()
        self._over = False
        self._farewell = Farewell()
        self._bell, self._rope = socket.socketpair()

    def release(self, guest: Guest, *, keep: bool) -> None:
        """Give a dispatched guest back, from any thread: to be parked, or to be closed."""
        self._released.append((guest, keep))
        self._ring()
        if self._over:
            self._part_released()

    def run(self, stop: Stop) -> None:
        """Receive until stopped; then part with whoever is not with a worker."""
        self._listener.setblocking(False)
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._selector = selectors.DefaultSelector()
        try:
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(self._bell, selectors.EVENT_READ)
            with stop.waking(self._ring):
                while not stop.is_set:
                    self._turn()
        finally:
            self._close()

    def see_off(self, deadline: Deadline) -> None:
        """After ``run``: let everybody have what was sent to them, and close."""
        self._farewell.wait(deadline)

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._bell:
                self._take_back()
            elif key.data in self._guests:  # not if an event before this one dropped it
                self._read(key.data)
        self._expire()

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                sock, where = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no descriptors left, or the guest has gone already
                log.debug("cannot accept: %s", error)
                self._make_room()
                return
            self._welcome(Guest(Channel(sock, stall=self._limits.stall), seen(where)))

    def _welcome(self, guest: Guest) -> None:
        """Greet a newcomer. Where there are too many, the oldest silent one makes room."""
        mates = self._strangers.of_host(guest.address.host)
        if len(mates) >= self._limits.strangers_per_host:
            self._drop(mates[0], "made room for a newcomer of its host")
        elif len(self._strangers) >= self._limits.strangers:
            self._drop_first(self._strangers)
        self._guests.add(guest)
        try:
            if len(self._guests) > self._limits.guests and not self._make_room():
                guest.refuse(ErrorCode.BUSY, "too many guests", retry_after_ms=BUSY_RETRY_MS)
                raise PeerError("no room")  # noqa: TRY301 - one place closes
            guest.send_now(self._greet(guest.address).frame(0))
        except PeerError as error:
            self._drop(guest, str(error))
            return
        self._strangers.add(guest, self._clock())
        self._watch(guest)

    def _make_room(self) -> bool:
        return self._drop_first(self._parked) or self._drop_first(self._strangers)

    def _read(self, guest: Guest) -> None:
        if guest.receive():
            self._advance(guest)
        else:
            self._drop(guest, "closed by the peer")

    def _advance(self, guest: Guest) -> None:
        """Hand the guest to a worker if its request is whole, else let it wait on."""
        try:
            asked = guest.next_request()
        except PeerError as error:
            guest.turn_away(error)
            self._drop(guest, str(error))
            return
        if asked:
            self._unwatch(guest)
            self._dispatch(guest, *asked)
        elif guest.introduced:
            self._strangers.discard(guest)
            waits, other = (
                (self._asking, self._parked) if guest.asking else (self._parked, self._asking)
            )
            other.discard(guest)
            waits.add(guest, self._clock())

    def _take_back(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(_BELL_BYTES):
                pass
        while self._released:
            guest, keep = self._released.popleft()
            if keep:
                self._watch(guest)
                self._advance(guest)
            else:
                self._drop(guest, "done")

    def _expire(self) -> None:
        now = self._clock()
        for waiting in (self._strangers, self._asking, self._parked):
            while (first := waiting.first()) and first[1] <= now:
                self._drop(first[0], "waited too long")

    def _patience(self) -> float | None:
        """Seconds until the next guest's time is up."""
        dues = [
            first[1]
            for waiting in (self._strangers, self._asking, self._parked)
            if (first := waiting.first())
        ]
        return max(0.0, min(dues) - self._clock()) if dues else None

    def _watch(self, guest: Guest) -> None:
        self._selector.register(guest.channel.sock, selectors.EVENT_READ, guest)

    def _unwatch(self, guest: Guest) -> None:
        for waiting in (self._strangers, self._asking, self._parked):
            waiting.discard(guest)
        with contextlib.suppress(KeyError):
            self._selector.unregister(guest.channel.sock)

    def _drop(self, guest: Guest, reason: str) -> None:
        log.debug("%s: %s", guest, reason)
        self._unwatch(guest)
        self._guests.discard(guest)
        guest.channel.close()

    def _drop_first(self, waiting: _Queue) -> bool:
        first = waiting.first()
        if first:
            self._drop(first[0], "made room")
        return first is not None

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # full means that it rings already
            self._rope.send(b"\0")

    def _close(self) -> None:
        self._over = True
        self._listener.close()
        while self._drop_first(self._strangers):
            pass
        for waiting in (self._asking, self._parked):
            while first := waiting.first():
                self._unwatch(first[0])
                self._farewell.part(first[0].channel)
        self._part_released()
        self._selector.close()
        self._bell.close()
        self._rope.close()

    def _part_released(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._farewell.part(self._released.popleft()[0].channel)


def seen(where: tuple[object, ...]) -> Address:
    """Where a guest is. IPv4 looks the same however it came, and zones are nobody else's."""
    host, port = (str(where[0]), int(str(where[1]))) if where else ("local", 0)
    host = host.partition("%")[0]
    mapped = host.removeprefix("::ffff:")
    return Address(mapped if "." in mapped else host, port)
