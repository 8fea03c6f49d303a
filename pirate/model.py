"""Values that every room shares. All frozen; an invalid one cannot be built."""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple, Self

DEFAULT_PORT = 7070

# How a peer was found of which only another peer told, in `Peer.via`.
HEARSAY = "peer"

# And one that was found in an earlier run only.
REMEMBERED = "memory"

# Every address of this host, to listen on: IPv6 and IPv4, or IPv4 alone.
EVERYWHERE = "::"
IPV4_EVERYWHERE = "0.0.0.0"  # noqa: S104 - serving others is what a peer is for


class _Id(bytes):
    """Bytes of one fixed length that name something; shown as hex digits."""

    __slots__ = ()
    SIZE: ClassVar[int]

    def __new__(cls, value: bytes) -> Self:
        """Raise ValueError unless ``value`` has exactly ``SIZE`` bytes."""
        if len(value) != cls.SIZE:
            raise ValueError(f"a {cls.__name__} has {cls.SIZE} bytes, not {len(value)}")
        return super().__new__(cls, value)

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"


class Digest(_Id):
    """The SHA-1 of a whole file, 20 bytes: the name of the file on the network."""

    __slots__ = ()
    SIZE = 20


class PeerId(_Id):
    """Who a peer is, 16 random bytes, whatever its addresses."""

    __slots__ = ()
    SIZE = 16


class Address(NamedTuple):
    """Where to dial: a host name or numeric address, and a TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, default_port: int | None = DEFAULT_PORT) -> Self:
        """Read ``HOST:PORT``, ``HOST``, ``:PORT`` or ``[IPV6]:PORT``; ValueError otherwise.

        A bare ``:PORT`` gives an empty host.
        """
        text = text.strip()
        host, separator, port = text.rpartition(":")
        if text.startswith("[") and text.endswith("]"):
            host, separator, port = text, "", ""
        elif not separator:
            host, port = port, ""
        elif ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError(f"{text!r}: write an IPv6 address as [ADDRESS]:PORT")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not separator:
            if default_port is None:
                raise ValueError(f"{text!r}: a port is missing, as in HOST:PORT")
            return cls(host, default_port)
        if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
            raise ValueError(f"{text!r}: {port!r} is not a port number")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a catalog: digest, size in bytes, and the names its holder knows it by.

    A name is a relative path with ``/`` between its parts. It is a suggestion and, when it
    came from a peer, hostile until ``disk.names`` has made it safe.
    """

    digest: Digest
    size: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a peer says of itself in the registry. Addresses are numeric, the nearest first.

    ``instance`` is 32 hex digits, new for every process, and tells a peer from another one that
    bears its id: the same disk image on two machines. It is empty in records of old peers.
    """

    id: PeerId
    name: str
    addresses: tuple[Address, ...]
    version: str
    revision: int = 0
    files: int = 0
    size: int = 0
    started: float = 0.0
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a peer, or what we remember, knows: announcements, ascending by id.

    ``age`` is seconds since they were all that there were, ``math.inf`` if they never were;
    ``stale`` says that there may be others now. ``wrong`` counts what could not be read.
    """

    announcements: tuple[Announcement, ...] = ()
    age: float = math.inf
    stale: bool = True
    wrong: int = 0

    def peers(self, via: str) -> "tuple[Peer, ...]":
        """The peers behind them, found that way."""
        return tuple(Peer.announced(announcement, via) for announcement in self.announcements)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another running pirate and how to reach it.

    ``id``, ``name`` and ``announcement`` are unknown for a peer that the user named by its
    address until its HELLO tells them. ``via`` is how it was found: the kinds of registries
    that know it.
    """

    addresses: tuple[Address, ...]
    id: PeerId | None = None
    name: str = ""
    announcement: Announcement | None = None
    via: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def announced(cls, announcement: Announcement, *via: str) -> Self:
        """The peer behind an announcement."""
        return cls(announcement.addresses, announcement.id, announcement.name, announcement, via)

    def met(self, peer_id: PeerId, name: str) -> "Peer":
        """This peer as its HELLO introduced it."""
        return replace(self, id=peer_id, name=name or self.name)

    @property
    def key(self) -> PeerId | Address:
        """What tells this peer from others: its id, or its address while no id is known."""
        return self.id or self.addresses[0]

    def __str__(self) -> str:
        address = str(self.addresses[0])
        return f"{self.name} ({address})" if self.name else address
