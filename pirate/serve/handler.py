"""A request to its answer."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import assert_never

from pirate.errors import NotFoundError, PirateError, StaleError
from pirate.library import Library
from pirate.model import Entry
from pirate.net.channel import Channel
from pirate.wire import messages
from pirate.wire.frames import CONTROL_LIMIT, DATA_LIMIT, Header, Kind
from pirate.wire.messages import ErrorCode

REASON_CHARACTERS = 60  # at most 4 bytes each: fits the 255 of ERROR

# The fields of ENTRIES before its entries.
_ENTRIES_OVERHEAD = 3 * 8 + 2


class Handler:
    """Answers requests from a library; used by many workers at once."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def answer(self, channel: Channel, number: int, request: messages.Request) -> None:
        """Send the whole answer to request ``number``. PeerError: the connection has to end."""
        try:
            match request:
                case messages.List():
                    self._list(channel, number, request)
                case messages.Stat():
                    entry = self._library.entry(request.digest)
                    channel.send(messages.Entry(entry).frame(number))
                case messages.Read():
                    self._read(channel, number, request)
                case _:
                    assert_never(request)
        except PirateError as error:
            code = _CODES.get(type(error))
            if code is None:
                raise
            channel.send(messages.Error(code, 0, str(error)[:REASON_CHARACTERS]).frame(number))

    def _list(self, channel: Channel, number: int, request: messages.List) -> None:
        catalog = self._library.catalog
        wanted: tuple[Entry, ...] = ()
        if request.known != catalog.revision:
            first = bisect_right(catalog.entries, request.after, key=lambda entry: entry.digest)
            wanted = catalog.entries[first : first + request.limit]
        pages = list(_pages(wanted))
        for page in pages:
            message = messages.Entries(catalog.revision, len(catalog), catalog.size, page)
            channel.send(message.frame(number, end=page is pages[-1]))

    def _read(self, channel: Channel, number: int, request: messages.Read) -> None:
        with self._library.open(request.digest) as source:
            offset, end = request.offset, request.offset + request.length
            if end > source.size:
                raise _RangeError(f"the file has {source.size} bytes")
            while True:
                count = min(DATA_LIMIT, end - offset)
                source.check()
                channel.send(Header(Kind.DATA, offset + count == end, number, count).encode())
                channel.send_file(source.file, offset, count)
                offset += count
                if offset == end:
                    return


class _RangeError(PirateError):
    """Ask for a range inside the file."""


_CODES = {
    NotFoundError: ErrorCode.NOT_FOUND,
    StaleError: ErrorCode.STALE,
    _RangeError: ErrorCode.RANGE,
}


def _pages(entries: Iterable[Entry]) -> Iterator[tuple[Entry, ...]]:
    """The entries in runs that each fit one frame; at least one run, which may be empty."""
    page: list[Entry] = []
    room = CONTROL_LIMIT - _ENTRIES_OVERHEAD
    for entry in entries:
        size = _encoded_size(entry)
        if size > room:
            yield tuple(page)
            page, room = [], CONTROL_LIMIT - _ENTRIES_OVERHEAD
        page.append(entry)
        room -= size
    yield tuple(page)


def _encoded_size(entry: Entry) -> int:
    return 20 + 8 + 2 + sum(2 + len(name.encode()) for name in entry.names)
