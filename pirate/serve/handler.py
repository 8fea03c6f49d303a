"""A request to its answer."""

import contextlib
import ipaddress
import select
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import assert_never

from pirate import record
from pirate.chain import NO_CHAIN
from pirate.errors import NotFoundError, PirateError, StaleError
from pirate.library import Library
from pirate.model import Announcement, Digest, Known
from pirate.net.channel import Channel
from pirate.net.reception import BUSY_RETRY_MS, seen
from pirate.serve.finder import PULSE, Finder
from pirate.throttle import Throttle
from pirate.wire import messages
from pirate.wire.entries import Run
from pirate.wire.fields import RECORDS_LIMIT, STATES_LIMIT
from pirate.wire.frames import DATA_LIMIT, Header, Kind
from pirate.wire.messages import UNKNOWN_AGE, ErrorCode

REASON_CHARACTERS = 60  # at most 4 bytes each: fits the 255 of ERROR

# Under a limit on speed nobody gets less, in bytes a second: 64 KiB in 10 s are a stall
# (PROTOCOL.md, "Deadlines").
LEAST_SHARE = 8 * 1024


class Handler:
    """Answers requests from a library; used by many workers at once."""

    def __init__(
        self,
        library: Library,
        throttle: Throttle | None = None,
        known: Callable[[], Known] = Known,
        heard: Callable[[Announcement, str], None] = lambda _, __: None,
        finder: Finder | None = None,
    ) -> None:
        """``throttle`` is for the bytes of all files together; ``known`` tells whom we know.

        ``heard`` is called with what a guest announces of itself, and the host it comes from.
        ``finder`` knows what the others have.
        """
        # How we are, for the guests of this machine; without it nobody is told.
        self.state: Callable[[], messages.State] | None = None
        self.sent = 0  # bytes of files, since the start
        self._lock = threading.Lock()  # guards sent
        self._library = library
        self._known = known
        self._heard = heard
        self._finder = finder
        self._throttle = throttle
        self._turns = threading.Semaphore(int(throttle.rate / LEAST_SHARE)) if throttle else None

    def answer(
        self, channel: Channel, number: int, request: messages.Request, host: str = ""
    ) -> None:
        """Send the whole answer to request ``number`` of a guest from ``host``.

        PeerError: the connection has to end.
        """
        try:
            match request:
                case messages.List():
                    self._list(channel, number, request)
                case messages.Stat():
                    entry = self._library.entry(request.digest)
                    chain = self._library.chain(request.digest)
                    name = chain.name if chain else NO_CHAIN
                    channel.send(messages.Entry(entry, name).frame(number))
                case messages.Read():
                    self._read(channel, number, request)
                case messages.Chain():
                    self._chain(channel, number, request)
                case messages.Roster():
                    self._roster(channel, number, request, host)
                case messages.Find():
                    self._find(channel, number, request, host)
                case messages.Status():
                    self._status(channel, number, host)
                case _:
                    assert_never(request)
        except PirateError as error:
            code = _CODES.get(type(error))
            if code is None:
                raise
            retry = BUSY_RETRY_MS if code is ErrorCode.BUSY else 0
            channel.send(messages.Error(code, retry, str(error)[:REASON_CHARACTERS]).frame(number))

    def _list(self, channel: Channel, number: int, request: messages.List) -> None:
        catalog = self._library.catalog
        since = request.known
        changes = catalog.since(since, request.after, request.limit)
        if changes is None:
            since, changes = 0, catalog.after(request.after, request.limit)
        runs = list(changes) or [Run()]
        for run in runs:
            message = messages.Entries(catalog.revision, since, len(catalog), catalog.size, run)
            channel.send(message.frame(number, end=run is runs[-1]))

    def _chain(self, channel: Channel, number: int, request: messages.Chain) -> None:
        chain = self._library.chain(request.digest)
        if chain is None:
            raise NotFoundError("no chain of it is known here")
        first, end = request.first, request.first + request.count
        if end >= chain.count:
            raise _RangeError(f"the chain has {chain.count - 1} states")
        while True:
            stop = min(end, first + STATES_LIMIT)
            states = tuple(Digest(chain.link(index).after) for index in range(first, stop))
            channel.send(messages.Links(states).frame(number, end=stop == end))
            if stop == end:
                return
            first = stop

    def _roster(self, channel: Channel, number: int, request: messages.Roster, host: str) -> None:
        if request.record:
            self._heard(record.decode(request.record.encode()), host)
        known = self._known()
        count, age = len(known.announcements), int(min(known.age, UNKNOWN_AGE))
        first = bisect_right(known.announcements, request.after, key=lambda one: one.id)
        wanted = known.announcements[first : first + request.limit]
        records = tuple(_records(wanted))
        starts = range(0, max(1, len(records)), RECORDS_LIMIT)
        for start in starts:
            some = records[start : start + RECORDS_LIMIT]
            message = messages.Peers(count, age, int(known.stale), some)
            channel.send(message.frame(number, end=start == starts[-1]))

    def _status(self, channel: Channel, number: int, host: str) -> None:
        if self.state is None or not _from_here(channel, host):
            raise _StrangerError("only this machine is told")
        channel.send(self.state().frame(number))

    def _find(self, channel: Channel, number: int, request: messages.Find, host: str) -> None:
        if not self._finder:
            raise _UnsupportedError("looks for nobody")
        if not _from_here(channel, host):
            raise _StrangerError("only this machine is told")
        for found in self._finder.find(request):
            channel.send(found.frame(number, end=False))
        channel.send(PULSE.frame(number))

    def _read(self, channel: Channel, number: int, request: messages.Read) -> None:
        throttle, line = self._throttle, _Line(channel)
        frame = throttle.piece if throttle else DATA_LIMIT
        with self._turn(), self._library.open(request.digest) as source:
            offset, end = request.offset, request.offset + request.length
            if end > source.size:
                raise _RangeError(f"the file has {source.size} bytes")
            while True:
                count = min(frame, end - offset)
                if throttle:
                    throttle.spend(count, line)
                source.check()
                channel.send(Header(Kind.DATA, offset + count == end, number, count).encode())
                channel.send_file(source.file, offset, count)
                with self._lock:
                    self.sent += count
                offset += count
                if offset == end:
                    return

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """While a file is sent: no more at once than the limit on speed keeps from stalling."""
        if self._turns is None:
            yield
            return
        if not self._turns.acquire(blocking=False):
            raise _BusyError("more would be too slow for all")
        try:
            yield
        finally:
            self._turns.release()


class _Line:
    """A guest's connection, to be waited on."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def wait(self, seconds: float) -> None:
        """Sleep so long, or until the connection is no more: what is sent then fails."""
        gone = select.poll()
        gone.register(self._channel.sock, 0)  # errors and a hang-up are reported all the same
        gone.poll(1000 * seconds)


class _BusyError(PirateError):
    """Come back later."""


class _RangeError(PirateError):
    """Ask for a range inside the file."""


class _UnsupportedError(PirateError):
    """Do without it."""


class _StrangerError(PirateError):
    """Ask on the machine itself."""


_CODES = {
    NotFoundError: ErrorCode.NOT_FOUND,
    StaleError: ErrorCode.STALE,
    _RangeError: ErrorCode.RANGE,
    _BusyError: ErrorCode.BUSY,
    _UnsupportedError: ErrorCode.UNSUPPORTED,
    _StrangerError: ErrorCode.DENIED,
}


def _from_here(channel: Channel, host: str) -> bool:
    """Whether a guest is on this machine: nobody else comes from the address that it reaches."""
    if host == seen(channel.sock.getsockname()).host:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _records(announcements: Iterable[Announcement]) -> Iterator[str]:
    """Their records, without those that nobody would accept."""
    for announcement in announcements:
        with contextlib.suppress(ValueError):
            yield record.encode(announcement).decode()
