"""Peers that come from an address which they do not announce: others may not reach them."""

import logging
from collections.abc import Callable

from pirate.model import Address, Peer, PeerId
from pirate.wire.messages import Hello

log = logging.getLogger(__name__)

# How many are remembered, so that each is told once.
MOST_TOLD = 1_000


class Sightings:
    """Compares where guests come from with what the roster says of them. For one thread."""

    def __init__(self, peers: Callable[[], tuple[Peer, ...]]) -> None:
        """``peers`` gives those that we know now."""
        self._peers = peers
        self._known: tuple[Peer, ...] = ()
        self._by_id: dict[PeerId, Peer] = {}
        self._told: set[tuple[PeerId, str]] = set()

    def note(self, seen: Address, hello: Hello) -> None:
        """Log it, once, if the guest at ``seen`` is a peer that is announced elsewhere."""
        peers = self._peers()
        if peers is not self._known:  # they change with a heartbeat, guests come all the time
            self._known = peers
            self._by_id = {peer.id: peer for peer in peers if peer.id and peer.announcement}
        peer = self._by_id.get(hello.peer)
        told = (hello.peer, seen.host)
        if not peer or told in self._told or len(self._told) >= MOST_TOLD:
            return
        if all(address.host != seen.host for address in peer.addresses):
            self._told.add(told)
            where = ", ".join(map(str, peer.addresses))
            log.info("%s comes from %s and announces %s", peer.name, seen.host, where)
