"""One peer's bytes of one file, in order: the next request is out before they run short."""

from collections.abc import Iterator

from pirate.deadline import Deadline
from pirate.errors import PeerError
from pirate.fetch.paced import Source
from pirate.model import Digest
from pirate.pages import pages

# A request's worth, and how many are outstanding: no round trip is paid between them, and
# what a dropped peer had still to send is small.
READ_BYTES = 4 * 1024 * 1024
OUTSTANDING = 2

PIECE_BYTES = 256 * 1024


def stream(
    source: Source, digest: Digest, start: int, stop: int, deadline: Deadline
) -> Iterator[memoryview]:
    """The bytes ``[start, stop)`` in pieces of at most 256 KiB, each valid until the next.

    Raises PeerError when the peer does not deliver; what was yielded until then has come.
    """
    buffer = pages(PIECE_BYTES)
    asked = received = start
    while received < stop:
        while asked < stop and asked - received <= (OUTSTANDING - 1) * READ_BYTES:
            length = min(READ_BYTES, stop - asked)
            source.read(digest, asked, length)
            asked += length
        piece = min(PIECE_BYTES, asked - received)
        filled = 0
        try:
            while filled < piece:
                filled += source.data_into(buffer[filled:piece], deadline)
        except PeerError:
            if filled:
                yield buffer[:filled]
            raise
        received += filled
        yield buffer[:filled]
