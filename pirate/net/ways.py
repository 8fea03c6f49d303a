"""Which addresses of a peer are ours to dial, and which of them comes first."""

import logging
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from pirate.model import Address, Peer, PeerId

if TYPE_CHECKING:
    from pirate.net.interfaces import Interfaces
    from pirate.policy.near import Network

log = logging.getLogger(__name__)

# How many records are remembered that were named in the log.
MOST_TOLD = 10_000

# Named by the user, but of a network that we know nothing of.
_FAR = 3


class Way(NamedTuple):
    """A target, and who has to be there: None if anybody will do, since the user named it."""

    target: Address
    wanted: PeerId | None = None


class Ways:
    """Judges addresses that others announce; what the user named is never refused."""

    def __init__(
        self, named: Collection[Address] = (), networks: "Collection[Network]" = ()
    ) -> None:
        """``networks`` are those, beside private ones and our own, that may be dialled."""
        self._named = frozenset(named)
        self._networks = tuple(networks)
        self._interfaces: Interfaces | None = None
        self._lock = threading.Lock()  # guards _told
        self._told: set[tuple[PeerId | Address, Address]] = set()

    def of(self, peer: Peer) -> list[Way]:
        """The ways to ``peer``, the nearest first."""
        if peer.announcement is None:  # the user named it, or we could not know it
            return [Way(address) for address in peer.addresses]
        # 15 ms, for those who have something to choose from
        from pirate.net.interfaces import Interfaces, surroundings  # noqa: PLC0415

        self._interfaces = self._interfaces or Interfaces()
        around = surroundings(self._interfaces.now, self._networks)
        ranked = []
        for address in dict.fromkeys(peer.addresses):
            distance = around.distance(address.host)
            if address in self._named:
                ranked.append((_FAR if distance is None else distance, Way(address)))
            elif distance is not None:
                ranked.append((distance, Way(address, peer.announcement.id)))
            else:
                self._tell_foreign(peer, address)
        return [way for _, way in sorted(ranked, key=lambda pair: pair[0])]

    def tell(self, peer: Peer, target: Address, what: str, level: int = logging.INFO) -> None:
        """Log what is wrong with an address that a peer announces, once for each."""
        with self._lock:
            if (peer.key, target) in self._told or len(self._told) >= MOST_TOLD:
                return
            self._told.add((peer.key, target))
        log.log(level, "%s announces %s: %s", peer.name or peer.key, target, what)

    def _tell_foreign(self, peer: Peer, address: Address) -> None:
        """It may be a lack of ``--network``, so the first is worth a warning."""
        level = logging.INFO if self._told else logging.WARNING
        self.tell(peer, address, "not of our networks (--network CIDR adds one)", level)
