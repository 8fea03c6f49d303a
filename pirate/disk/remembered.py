"""The peers of a network as they were last known, for when nobody can be asked."""

import hashlib
import math
import time
from collections.abc import Iterable

from pirate import record
from pirate.disk.state import State
from pirate.errors import ProtocolError
from pirate.model import Announcement, Known

# No more are remembered.
MOST = 10_000

_LIMIT = MOST * (record.WRITTEN_LIMIT + 1)


def remember(
    state: State, network: str, peers: Iterable[Announcement], when: float | None = None
) -> None:
    """Keep these peers, ascending by id, unless newer ones are kept; none is no news.

    ``network`` is what tells one network from another; ``when`` they were all that there
    were, on the clock of the wall, is now if it is not given.
    """
    name, now = _name(network), time.time()
    when = now if when is None else when
    data = b"".join(_lines(peers))
    if not data or when <= state.modified(name) <= now:
        return
    if state.read(name, _LIMIT + 1) == data:
        state.touch(name, when)
    else:
        state.write(name, data, when)


def remembered(state: State, network: str) -> Known:
    """The peers that were kept last. Anybody may have written them."""
    name = _name(network)
    found: dict[bytes, Announcement] = {}
    lines = state.read(name, _LIMIT).splitlines()[:MOST]
    for line in lines:
        try:
            announcement = record.decode(line)
        except ProtocolError:
            continue
        found[announcement.id] = announcement
    when = state.modified(name)
    age = max(0.0, time.time() - when) if when else math.inf
    return Known(tuple(found[key] for key in sorted(found)), age, True, len(lines) - len(found))


def is_kept(state: State, network: str) -> bool:
    """Whether any peers of this network were kept."""
    return state.modified(_name(network)) > 0


def _name(network: str) -> str:
    digest = hashlib.sha1(network.encode(), usedforsecurity=False)
    return f"roster.{digest.hexdigest()[:8]}"


def _lines(peers: Iterable[Announcement]) -> Iterable[bytes]:
    for count, announcement in enumerate(peers):
        if count == MOST:
            return
        try:
            yield record.encode(announcement) + b"\n"
        except ValueError:
            continue
