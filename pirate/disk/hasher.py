"""What a process does that reads small files for another: `python -m pirate.disk.hasher`.

Messages are a length of four bytes and what `marshal` makes of a value, both ways.
"""

import contextlib
import marshal
import os
import struct
import sys
import time
from collections.abc import Sequence
from io import BufferedRWPair
from typing import IO, Any

from pirate.disk.hashing import NICENESS, hash_small, settled
from pirate.disk.hashrows import packed_small
from pirate.disk.opening import OPEN_FILE, Opener
from pirate.disk.place import Identity
from pirate.disk.source import generation
from pirate.disk.tree import Listing

# A row for each file, None for those that are not as they were found; and which are settled.
Answer = tuple[list[bytes | None], bytes]

Stream = IO[bytes] | BufferedRWPair

_LENGTH = struct.Struct("=I")


def send(file: Stream, value: Any) -> None:  # noqa: ANN401 - whatever marshal knows
    """Write a message; OSError if the other side is gone."""
    data = marshal.dumps(value)
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def receive(file: Stream) -> Any:  # noqa: ANN401 - what the other side has sent
    """Read a message; None if the other side is gone."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = file.read(length)
    return marshal.loads(data) if len(data) == length else None  # noqa: S302 - of our own process


def order(listing: Listing) -> Sequence[object]:
    """What to send of a listing."""
    return (*listing[:4], [tuple(identity) for identity in listing.identities], listing.links)


def main() -> None:
    """Answer orders with rows for the hash cache, until stdin ends."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    with Opener() as opener:
        while (asked := receive(orders)) is not None:
            listing = Listing(*asked)
            identities = [*map(Identity._make, listing.identities)]
            send(answers, _answer(listing._replace(identities=identities), opener))


def _answer(listing: Listing, opener: Opener) -> Answer:
    started = time.time_ns()
    try:
        folder = opener.folder(listing.root, listing.parts)
    except OSError:
        return [None] * len(listing.names), bytes(len(listing.names))
    rows = [_row(listing, at, folder) for at in range(len(listing.names))]
    return rows, bytes(settled(identity, started) for identity in listing.identities)


def _row(listing: Listing, at: int, folder: int) -> bytes | None:
    identity = listing.identities[at]
    try:
        file = os.open(listing.names[at], OPEN_FILE, dir_fd=folder)
        try:
            digest, number = hash_small(file, identity), generation(file)
        finally:
            os.close(file)
        if not digest:
            return None
        return packed_small(identity, listing.label(at), number, digest)
    except (OSError, struct.error):
        return None


if __name__ == "__main__":
    main()
