"""The envelope of every message: a 12-byte header, its kinds and flags, and the limits.

::

     0      2     3      4            8           12
     +------+-----+------+------------+-----------+----------------
     |magic |kind |flags | request    | length    | body
     +------+-----+------+------------+-----------+----------------
       u16    u8    u8      u32          u32

The magic in every frame catches a stray HTTP client, or one lost byte, at once.
"""

import enum
import struct
from typing import NamedTuple, Self

from pirate.errors import ProtocolError

MAGIC = 0x9E70
_HEADER = struct.Struct(">HBBII")
HEADER_SIZE = _HEADER.size

CONTROL_LIMIT = 64 * 1024
DATA_LIMIT = 1024 * 1024


class Kind(enum.IntEnum):
    """What a frame's body is. 0x00-0x7F must be understood, 0x80-0xFF may be skipped."""

    HELLO = 0x01
    ERROR = 0x02
    LIST = 0x10
    ENTRIES = 0x11
    STAT = 0x12
    ENTRY = 0x13
    READ = 0x14
    DATA = 0x15
    CHAIN = 0x16
    LINKS = 0x17
    ROSTER = 0x20
    PEERS = 0x21
    FIND = 0x22
    FOUND = 0x23
    STATUS = 0x24
    STATE = 0x25


# The largest body in bytes, checked before a body is read or anything is allocated.
LIMITS: dict[int, int] = {
    Kind.HELLO: 512,
    Kind.ERROR: 512,
    Kind.LIST: 64,
    Kind.ENTRIES: CONTROL_LIMIT,
    Kind.STAT: 64,
    Kind.ENTRY: CONTROL_LIMIT,
    Kind.READ: 64,
    Kind.DATA: DATA_LIMIT,
    Kind.CHAIN: 64,
    Kind.LINKS: CONTROL_LIMIT,
    Kind.ROSTER: 2048,
    Kind.PEERS: CONTROL_LIMIT,
    Kind.FIND: 512,
    Kind.FOUND: CONTROL_LIMIT,
    Kind.STATUS: 64,
    Kind.STATE: CONTROL_LIMIT,
}

MAY_BE_SKIPPED = 0x80
END = 0x01


class Header(NamedTuple):
    """One frame's header. ``kind`` is a plain number: it may be one that we do not know."""

    kind: int
    end: bool
    request: int
    length: int

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read exactly 12 bytes; ProtocolError on a wrong magic, flag or length."""
        magic, kind, flags, request, length = _HEADER.unpack(data)
        if magic != MAGIC:
            raise ProtocolError(f"not pirate's protocol: it begins with {bytes(data)[:8]!r}")
        if flags & ~END:
            raise ProtocolError(f"unknown flags {flags:#04x}")
        limit = LIMITS.get(kind, CONTROL_LIMIT)
        if length > limit:
            raise ProtocolError(f"a frame of kind {kind:#04x} announces {length} bytes")
        return cls(kind, bool(flags & END), request, length)

    def encode(self) -> bytes:
        """The 12 bytes."""
        flags = END if self.end else 0
        return _HEADER.pack(MAGIC, self.kind, flags, self.request, self.length)
