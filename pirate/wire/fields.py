"""One value to and from bytes: the field types that messages are declared with.

A message class annotates each attribute with one of the types below (``u32``, ``sha1``,
``text_255`` ...). Encoding and decoding walk the same annotations, so they cannot drift.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Protocol

from pirate.errors import ProtocolError
from pirate.model import Digest, Entry, PeerId

NAME_LIMIT = 1024
NAMES_LIMIT = 16
REASON_LIMIT = 255


class Reader:
    """Takes bytes off the front of one body; every shortage is a ProtocolError."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self._at + count
        if end > len(self._body):
            raise ProtocolError(f"a body of {len(self._body)} bytes ends inside a field")
        taken = self._body[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        """All that is still to be taken."""
        return self._body[self._at :]

    def uint(self, width: int) -> int:
        """The next ``width`` bytes as an unsigned big-endian number."""
        return int.from_bytes(self.take(width), "big")

    def close(self) -> None:
        """A body is closed: bytes behind the last field are an error."""
        if self._at != len(self._body):
            raise ProtocolError(f"{len(self._body) - self._at} bytes after the last field")


class Codec(Protocol):
    """How one field type is written; ``spec`` is its name in docs/PROTOCOL.md."""

    @property
    def spec(self) -> str:
        """Its name in the specification."""

    def encode(self, value: Any) -> bytes:  # noqa: ANN401 - each codec has its own type
        """The bytes of ``value``; ValueError if it does not fit."""

    def decode(self, reader: Reader) -> Any:  # noqa: ANN401
        """Take one value; ProtocolError if the bytes are not one."""


@dataclasses.dataclass(frozen=True)
class UInt:
    """An unsigned big-endian integer of ``width`` bytes."""

    width: int

    @property
    def spec(self) -> str:
        """Its name in the specification."""
        return f"u{8 * self.width}"

    def encode(self, value: int) -> bytes:
        """Write ``value``; ValueError if it needs more bytes."""
        try:
            return value.to_bytes(self.width, "big")
        except OverflowError as error:
            raise ValueError(f"{value} does not fit {self.spec}") from error

    def decode(self, reader: Reader) -> int:
        """Read a number."""
        return reader.uint(self.width)


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A digest or peer id: as many bytes as its type has."""

    type: type[Digest] | type[PeerId]

    @property
    def spec(self) -> str:
        """Its name in the specification."""
        return "sha1" if self.type is Digest else "peer_id"

    def encode(self, value: bytes) -> bytes:
        """Write the bytes as they are."""
        return bytes(value)

    def decode(self, reader: Reader) -> Digest | PeerId:
        """Read the bytes of one."""
        return self.type(reader.take(self.type.SIZE))


@dataclasses.dataclass(frozen=True)
class Text:
    """UTF-8 of at most ``limit`` bytes behind a u16 that counts them."""

    limit: int

    @property
    def spec(self) -> str:
        """Its name in the specification."""
        return f"text({self.limit})"

    def encode(self, value: str) -> bytes:
        """Write ``value``; ValueError if it is too long or is no Unicode text."""
        data = value.encode()
        if len(data) > self.limit:
            raise ValueError(f"a text of {len(data)} bytes, more than {self.limit}")
        return len(data).to_bytes(2, "big") + data

    def decode(self, reader: Reader) -> str:
        """Read a text; its length is checked before its bytes are taken."""
        length = reader.uint(2)
        if length > self.limit:
            raise ProtocolError(f"a text of {length} bytes, more than {self.limit}")
        try:
            return reader.take(length).decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a text is not UTF-8") from error


@dataclasses.dataclass(frozen=True)
class Many:
    """At most ``limit`` items behind a u16 that counts them."""

    item: Codec
    limit: int

    @property
    def spec(self) -> str:
        """Its name in the specification."""
        return f"many({self.limit}) of {self.item.spec}"

    def encode(self, value: tuple[Any, ...]) -> bytes:
        """Write the items; ValueError if there are too many."""
        if len(value) > self.limit:
            raise ValueError(f"{len(value)} items, more than {self.limit}")
        return len(value).to_bytes(2, "big") + b"".join(map(self.item.encode, value))

    def decode(self, reader: Reader) -> tuple[Any, ...]:
        """Read the items; their number is checked first."""
        count = reader.uint(2)
        if count > self.limit:
            raise ProtocolError(f"{count} items, more than {self.limit}")
        return tuple(self.item.decode(reader) for _ in range(count))


class EntryCodec:
    """One file: ``digest sha1, size u64, names``; an entry has at least one name."""

    spec = "entry"
    fields: ClassVar[dict[str, Codec]] = {
        "digest": Fixed(Digest),
        "size": UInt(8),
        "names": Many(Text(NAME_LIMIT), NAMES_LIMIT),
    }

    def encode(self, value: Entry) -> bytes:
        """Write an entry; ValueError if it has no name, or a part of it does not fit."""
        if not value.names:
            raise ValueError("an entry without a name")
        return b"".join(codec.encode(getattr(value, name)) for name, codec in self.fields.items())

    def decode(self, reader: Reader) -> Entry:
        """Read an entry."""
        entry = Entry(**{name: codec.decode(reader) for name, codec in self.fields.items()})
        if not entry.names:
            raise ProtocolError("an entry without a name")
        return entry


u8 = Annotated[int, UInt(1)]
u16 = Annotated[int, UInt(2)]
u32 = Annotated[int, UInt(4)]
u64 = Annotated[int, UInt(8)]
sha1 = Annotated[Digest, Fixed(Digest)]
peer_id = Annotated[PeerId, Fixed(PeerId)]
text_64 = Annotated[str, Text(64)]
text_255 = Annotated[str, Text(REASON_LIMIT)]
entry = Annotated[Entry, EntryCodec()]
# As many as fit one frame of 64 KiB.
STATES_LIMIT = 3276
states = Annotated[tuple[Digest, ...], Many(Fixed(Digest), STATES_LIMIT)]
# The longest record, and as many of those as fit one frame.
RECORD_LIMIT = 1024
RECORDS_LIMIT = 63
record = Annotated[str, Text(RECORD_LIMIT)]
records = Annotated[tuple[str, ...], Many(Text(RECORD_LIMIT), RECORDS_LIMIT)]
# As many as a record has, and as many paths as fit one frame with all else of STATE.
addresses = Annotated[tuple[str, ...], Many(Text(64), 8)]
PATH_LIMIT = 1024
PATHS_LIMIT = 32
paths = Annotated[tuple[str, ...], Many(Text(PATH_LIMIT), PATHS_LIMIT)]


def fitted(text: str, limit: int) -> str:
    """As much of ``text`` as fits ``limit`` bytes; U+FFFD stands for what is no Unicode."""
    data = text.encode(errors="surrogateescape").decode(errors="replace").encode()
    return data[:limit].decode(errors="ignore")


def _layout(message: Any) -> dict[str, Codec]:  # noqa: ANN401 - dataclasses take any class
    fields: Any = dataclasses.fields(message)
    return {field.name: field.type.__metadata__[0] for field in fields}


# The fields of a message class in their order on the wire, each with its codec.
layout: Callable[[type], dict[str, Codec]] = functools.cache(_layout)
