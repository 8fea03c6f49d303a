"""Our own addresses and networks, and at which of them others reach us."""

import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pirate.deadline import Clock
from pirate.model import EVERYWHERE, IPV4_EVERYWHERE, Address
from pirate.policy.near import Network, Surroundings

log = logging.getLogger(__name__)

# How soon we notice that a cable or a wireless network has changed.
FRESH_SECONDS = 30.0

# As many as an announcement has room for.
MOST_ADDRESSES = 8

# What containers and virtual machines are plugged into; nobody else reaches us there, and
# every host with the same software has the same address on it.
_BRIDGES = (
    "docker", "br-", "virbr", "veth", "cni", "podman", "lxc", "lxdbr", "flannel", "cali",
    "vmnet", "vboxnet",
)  # fmt: skip

# Documentation networks (RFC 5737, RFC 3849): routed like any other, and nobody is there.
_OUTSIDE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


@dataclass(frozen=True, slots=True)
class Interface:
    """One address of a network interface, with the network behind it."""

    name: str
    ip: ipaddress.IPv4Interface | ipaddress.IPv6Interface

    @property
    def is_bridge(self) -> bool:
        """Whether only containers and virtual machines of this host are behind it."""
        return self.name.startswith(_BRIDGES)


def look() -> tuple[Interface, ...]:
    """Every address that this host has now; none if the system does not tell."""
    import ifaddr  # noqa: PLC0415 - 10 ms, for those who serve or choose between addresses

    found = []
    try:
        for adapter in ifaddr.get_adapters():
            for ip in adapter.ips:
                host = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
                text = f"{host.partition('%')[0]}/{ip.network_prefix}"
                found.append(Interface(adapter.nice_name, ipaddress.ip_interface(text)))
    except (OSError, ValueError) as error:
        log.debug("cannot tell our own addresses: %s", error)
    return tuple(found)


class Interfaces:
    """Our interfaces, looked at again when what we know is old. Safe to use from any thread."""

    def __init__(
        self,
        look: Callable[[], tuple[Interface, ...]] = look,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._look = look
        self._clock = clock
        self._known: tuple[float, tuple[Interface, ...]] | None = None

    @property
    def now(self) -> tuple[Interface, ...]:
        """What we have, as it was at most ``FRESH_SECONDS`` ago."""
        known, now = self._known, self._clock()
        if known is None or now - known[0] >= FRESH_SECONDS:
            known = self._known = (now, self._look())
        return known[1]


def surroundings(interfaces: Iterable[Interface], allowed: Iterable[Network]) -> Surroundings:
    """What is around us: the networks of our interfaces, and those that the user allows."""
    interfaces = tuple(interfaces)
    return Surroundings.of(
        (interface.ip for interface in interfaces if not interface.is_bridge),
        (interface.ip for interface in interfaces if interface.is_bridge),
        allowed,
    )


class Whereabouts:
    """Where others reach a server that listens at ``listen``."""

    def __init__(
        self, listen: Address, advertise: Address | None, interfaces: Interfaces | None = None
    ) -> None:
        """``advertise`` is what the user says; its port 0 is the one that is listened on."""
        self._listen = listen
        self._advertise = advertise
        self._interfaces = interfaces or Interfaces()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses to announce now, the best first."""
        host, port = self._listen
        if self._advertise:
            return (Address(self._advertise.host, self._advertise.port or port),)
        if host not in (IPV4_EVERYWHERE, EVERYWHERE):
            return (self._listen,)
        versions = (4,) if host == IPV4_EVERYWHERE else (4, 6)
        hosts = reachable(self._interfaces.now, ways_out(), versions)
        return tuple(Address(host, port) for host in hosts)


def reachable(
    interfaces: Iterable[Interface], ways_out: Iterable[str], versions: tuple[int, ...]
) -> tuple[str, ...]:
    """Which of our addresses others may try: the ways out first, bridges last.

    Loopback is for others of this host, and so only announced where there is nothing else.
    """
    ranks = {ipaddress.ip_address(way): 0 for way in ways_out}
    for interface in interfaces:
        ranks.setdefault(interface.ip.ip, 2 if interface.is_bridge else 1)
    ours = [
        ip
        for ip in sorted(ranks, key=lambda ip: (ranks[ip], ip.version))
        if ip.version in versions and not (ip.version == 6 and ip.is_link_local)
    ]
    abroad = [str(ip) for ip in ours if not ip.is_loopback]
    return tuple(abroad[:MOST_ADDRESSES]) or ("127.0.0.1",)


def ways_out() -> tuple[str, ...]:
    """The addresses that our packets to the outside bear; nothing is sent to find them out."""
    found = []
    for family, outside in _OUTSIDE.items():
        with (
            contextlib.suppress(OSError),
            socket.socket(family, socket.SOCK_DGRAM) as probe,
        ):
            probe.connect((outside, 9))
            found.append(str(probe.getsockname()[0]))
    return tuple(found)
