"""Which addresses that others announce are ours to dial, and which of them is tried first."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Private use (RFC 1918), carriers' NAT and most overlays (RFC 6598), ULA, link-local.
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)

# Where the packets of every host on such an interface go says nothing about who is near.
_LEAST_BITS = 1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around us: our own hosts, the networks beside us, and others that we may dial."""

    own: frozenset[str] = frozenset()
    beside: tuple[Network, ...] = ()
    further: tuple[Network, ...] = ()

    @classmethod
    def of(
        cls,
        beside: Iterable[ipaddress.IPv4Interface | ipaddress.IPv6Interface],
        bridged: Iterable[ipaddress.IPv4Interface | ipaddress.IPv6Interface],
        allowed: Iterable[Network],
    ) -> "Surroundings":
        """Of the addresses of our interfaces, those on bridges apart, and what the user allows.

        A bridge is no neighbourhood: other hosts have the same network on theirs.
        """
        beside, bridged = tuple(beside), tuple(bridged)
        networks = (ours.network for ours in beside)
        further = (*(ours.network for ours in bridged), *allowed)
        return cls(
            frozenset(str(ours.ip) for ours in (*beside, *bridged)),
            tuple(network for network in networks if network.prefixlen >= _LEAST_BITS),
            tuple(further),
        )

    def distance(self, host: str) -> int | None:
        """How late ``host`` is tried; None if it is not of our networks, or is no number.

        Our own addresses and loopback come last: where another host announces them they lead
        to ourselves.
        """
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            return None
        if ip.is_loopback:
            return 4
        if host in self.own:
            return 3
        for distance, networks in enumerate((self.beside, _PRIVATE, self.further)):
            if any(ip in network for network in networks):
                return distance
        return None
