"""What peers say to each other: one frozen dataclass per message.

The declarations are the specification: ``encode`` and ``decode`` walk them, and so do the
tables of docs/PROTOCOL.md. DATA is no message: its body is the file's own bytes.
"""

import enum
from dataclasses import dataclass
from typing import ClassVar, Self

from pirate.errors import ProtocolError
from pirate.wire.entries import entries
from pirate.wire.fields import (
    Reader,
    addresses,
    entry,
    layout,
    paths,
    peer_id,
    record,
    records,
    sha1,
    states,
    text_64,
    text_255,
    u8,
    u16,
    u32,
    u64,
)
from pirate.wire.frames import LIMITS, Header, Kind

OLDEST_VERSION = 1
NEWEST_VERSION = 1


class ErrorCode(enum.IntEnum):
    """Why a request, or the connection, is refused."""

    BAD_REQUEST = 1
    UNSUPPORTED = 2
    VERSION = 3
    NOT_FOUND = 4
    STALE = 5
    RANGE = 6
    BUSY = 7
    DENIED = 8
    INTERNAL = 9


class Message:
    """Base of all messages."""

    __slots__ = ()
    KIND: ClassVar[Kind]

    def encode(self) -> bytes:
        """The body; ValueError if a field does not fit."""
        return b"".join(
            codec.encode(getattr(self, name)) for name, codec in layout(type(self)).items()
        )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read one body; ProtocolError if it is not exactly one."""
        reader = Reader(body)
        message = cls(**{name: codec.decode(reader) for name, codec in layout(cls).items()})
        reader.close()
        return message

    def frame(self, request: int, *, end: bool = True) -> bytes:
        """Header and body, ready to send; ValueError if the body is above its kind's limit."""
        body = self.encode()
        if len(body) > LIMITS[self.KIND]:
            raise ValueError(f"{self.KIND.name} of {len(body)} bytes")
        return Header(self.KIND, end, request, len(body)).encode() + body


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """The first message of both sides, the server's first; request is 0.

    ``seen`` is the address at which a server sees its client; a client leaves it empty.
    """

    KIND = Kind.HELLO
    oldest: u16
    newest: u16
    features: u64
    peer: peer_id
    name: text_64
    agent: text_64
    seen: text_64 = ""

    @property
    def version(self) -> str:
        """That of its program, if the agent text tells it as ours does: ``pirate/1.0 linux``."""
        return self.agent.partition(" ")[0].partition("/")[2]


@dataclass(frozen=True, slots=True)
class Error(Message):
    """Takes the place of the next frame of an answer; with request 0 the connection ends."""

    KIND = Kind.ERROR
    code: u16
    retry_after_ms: u32
    reason: text_255


@dataclass(frozen=True, slots=True)
class List(Message):
    """Send me at most ``limit`` entries with digests above ``after``; ENTRIES answers.

    ``known`` is a revision that I have already, or 0: what has changed since will do.
    """

    KIND = Kind.LIST
    known: u64
    after: sha1
    limit: u32


@dataclass(frozen=True, slots=True)
class Entries(Message):
    """Some entries, ascending by digest. ``files`` and ``size`` are of the whole catalog.

    ``since`` is the revision that LIST knew if they are only what has changed since; there an
    entry without names says that a file is gone. It is 0 if they are of the whole catalog.
    """

    KIND = Kind.ENTRIES
    revision: u64
    since: u64
    files: u64
    size: u64
    entries: entries


@dataclass(frozen=True, slots=True)
class Stat(Message):
    """Do you hold ``digest``? ENTRY answers, or ERROR NOT_FOUND."""

    KIND = Kind.STAT
    digest: sha1


@dataclass(frozen=True, slots=True)
class Entry(Message):
    """I hold this file. ``chain`` is its chain's name, or zeros if I offer none."""

    KIND = Kind.ENTRY
    entry: entry
    chain: sha1


@dataclass(frozen=True, slots=True)
class Read(Message):
    """Send me ``length`` bytes of ``digest`` from ``offset``; DATA answers."""

    KIND = Kind.READ
    digest: sha1
    offset: u64
    length: u32


@dataclass(frozen=True, slots=True)
class Chain(Message):
    """Send me ``count`` states of the chain of ``digest`` from number ``first``; LINKS answers.

    State 0 is the chaining value behind the first segment; there are as many as segments,
    less one.
    """

    KIND = Kind.CHAIN
    digest: sha1
    first: u32
    count: u32


@dataclass(frozen=True, slots=True)
class Links(Message):
    """Some states of a chain, in their order."""

    KIND = Kind.LINKS
    states: states


@dataclass(frozen=True, slots=True)
class Roster(Message):
    """Tell me at most ``limit`` peers with ids above ``after``; PEERS answers.

    ``record`` is my own, so that you know me too; empty if I serve nothing.
    """

    KIND = Kind.ROSTER
    after: peer_id
    limit: u32
    record: record


@dataclass(frozen=True, slots=True)
class Peers(Message):
    """Some records of peers, ascending by id; ``count`` is how many there are in all.

    ``age`` is seconds since they were last known to be all, UNKNOWN_AGE if they never were;
    ``stale`` is not 0 if there may be others now.
    """

    KIND = Kind.PEERS
    count: u32
    age: u32
    stale: u8
    records: records


@dataclass(frozen=True, slots=True)
class Find(Message):
    """What do you and the peers that you know have that matches? FOUND answers.

    I wait for the answer ``patience_ms``, so begin it whatever is known by then.
    """

    KIND = Kind.FIND
    pattern: text_255
    patience_ms: u32


@dataclass(frozen=True, slots=True)
class Found(Message):
    """Some entries of one peer, ascending by digest, or why there are none to tell of.

    ``code`` and ``reason`` are empty if the peer has been listed. A ``peer`` of zeros is nobody:
    the server still asks, or, with END, that was all.
    """

    KIND = Kind.FOUND
    peer: peer_id
    code: text_64
    reason: text_255
    entries: entries


@dataclass(frozen=True, slots=True)
class Status(Message):
    """How are you? STATE answers, to a client on the server's own machine only."""

    KIND = Kind.STATUS


@dataclass(frozen=True, slots=True)
class State(Message):
    """How the server is now, beside what its HELLO tells; what is no number may be cut off.

    ``ready``, ``watching`` and ``announced`` are not 0 if they hold: the first scan is done,
    changes are told, the registry has what the server says of itself. The four numbers between
    tell how far the scan is. ``age`` is seconds since the registry last gave its whole answer,
    UNKNOWN_AGE if it never did, and ``problem`` why it does not.
    """

    KIND = Kind.STATE
    pid: u32
    started: u64
    listen: text_64
    addresses: addresses
    folders: paths
    files: u64
    size: u64
    ready: u8
    hashed_files: u64
    files_to_hash: u64
    hashed_bytes: u64
    bytes_to_hash: u64
    watching: u8
    transfers: u32
    sent: u64
    registry: text_64
    problem: text_255
    age: u32
    announced: u8
    peers: u32


UNKNOWN_AGE = 0xFFFF_FFFF

Request = List | Stat | Read | Chain | Roster | Find | Status
Answer = Entries | Entry | Links | Peers | Found | State | Error

# Explicit: ``__subclasses__`` would also list the twins that ``slots=True`` leaves behind.
MESSAGES: dict[int, type[Message]] = {
    message.KIND: message
    for message in (
        *(Hello, Error, List, Entries, Stat, Entry, Read, Chain, Links, Roster, Peers),
        *(Find, Found, Status, State),
    )
}


def decode(header: Header, body: bytes) -> Message:
    """The message of one frame; ProtocolError for a kind that is none or unknown."""
    if message := MESSAGES.get(header.kind):
        return message.decode(body)
    raise ProtocolError(f"kind {header.kind:#04x} is no message that we know")
