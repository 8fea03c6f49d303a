"""An announcement as JSON: what registries keep and peers tell each other.

Anybody may have written these bytes, so ``decode`` trusts nothing. Fields that
it does not know are ignored; a change that old peers could not read needs another key prefix.
"""

import ipaddress
import json
import re
from typing import Any, NoReturn

from pirate.errors import ProtocolError
from pirate.model import Address, Announcement, PeerId

WRITTEN_LIMIT = 1024
ACCEPTED_LIMIT = 4096
NAME_LIMIT = 64
VERSION_LIMIT = 32
ADDRESSES_LIMIT = 8

_U64 = 2**64 - 1
_YEAR_10000 = 253_402_300_800.0  # the first moment that no calendar of ours can show
_128_BITS = re.compile(r"[0-9a-f]{32}")


def encode(announcement: Announcement) -> bytes:
    """The record of ``announcement``; ValueError if it is one that others would not accept."""
    fields: dict[str, object] = {
        "id": str(announcement.id),
        "name": announcement.name,
        "addresses": [str(address) for address in announcement.addresses],
        "version": announcement.version,
        "revision": announcement.revision,
        "files": announcement.files,
        "size": announcement.size,
        "started": announcement.started,
    }
    if announcement.instance:
        fields["instance"] = announcement.instance
    data = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    if len(data) > WRITTEN_LIMIT:
        raise ValueError(f"an announcement of {len(data)} bytes, more than {WRITTEN_LIMIT}")
    try:
        decode(data)
    except ProtocolError as error:
        raise ValueError(f"nobody would accept this announcement: {error}") from error
    return data


def decode(data: bytes) -> Announcement:
    """The announcement in a record; ProtocolError, and nothing else, if there is none."""
    if len(data) > ACCEPTED_LIMIT:
        raise ProtocolError(f"a record of {len(data)} bytes, more than {ACCEPTED_LIMIT}")
    try:
        # Decoded here, since json would take UTF-16 and UTF-32 for granted as well.
        fields = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a record is not JSON") from error
    if not isinstance(fields, dict):
        raise ProtocolError("a record is not a JSON object")
    return checked(fields)


def checked(raw: dict[str, Any]) -> Announcement:
    """The announcement whose fields are ``raw``, by their names in JSON; ProtocolError if none."""
    fields = _Fields(raw)
    return Announcement(
        id=fields.peer_id("id"),
        name=fields.text("name", NAME_LIMIT),
        addresses=fields.addresses("addresses"),
        version=fields.text("version", VERSION_LIMIT),
        revision=fields.count("revision"),
        files=fields.count("files"),
        size=fields.count("size"),
        started=fields.moment("started"),
        instance=fields.instance("instance"),
    )


class _Fields:
    """The fields of one record; every method takes a name and gives a checked value."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def text(self, name: str, limit: int) -> str:
        """A text of at most ``limit`` bytes."""
        value = self._fields.get(name)
        if not isinstance(value, str):
            _refuse(name)
        try:
            fits = len(value.encode()) <= limit
        except UnicodeEncodeError:  # a lone surrogate, which JSON can write
            fits = False
        return value if fits else _refuse(name)

    def peer_id(self, name: str) -> PeerId:
        """A peer id in the one way of writing it, so that equal ids are equal keys."""
        value = self.text(name, 2 * PeerId.SIZE)
        return PeerId(bytes.fromhex(value)) if _128_BITS.fullmatch(value) else _refuse(name)

    def instance(self, name: str) -> str:
        """32 hex digits; empty if the field is missing, as in the records of old peers."""
        if name not in self._fields:
            return ""
        value = self.text(name, 2 * PeerId.SIZE)
        return value if _128_BITS.fullmatch(value) else _refuse(name)

    def count(self, name: str) -> int:
        """An unsigned 64-bit number."""
        value = self._fields.get(name)
        if type(value) is not int or not 0 <= value <= _U64:  # True is an instance of int
            _refuse(name)
        return value

    def moment(self, name: str) -> float:
        """Seconds since 1970; the comparison is false for NaN too."""
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(name)
        if not 0 <= value < _YEAR_10000:
            _refuse(name)
        return float(value)

    def addresses(self, name: str) -> tuple[Address, ...]:
        """One numeric address or more."""
        value = self._fields.get(name)
        if not isinstance(value, list) or not 1 <= len(value) <= ADDRESSES_LIMIT:
            _refuse(name)
        try:
            return tuple(_numeric(text) for text in value)
        except ValueError as error:
            raise ProtocolError(f"a record with a wrong {name!r}") from error


def _numeric(text: object) -> Address:
    """Read an address that can be dialled without asking a name server; ValueError otherwise."""
    if not isinstance(text, str):
        raise ValueError("not a text")  # noqa: TRY004 - one kind of error for the caller
    host, port = Address.parse(text, default_port=None)
    ip = ipaddress.ip_address(host)
    if ip.is_unspecified or ip.is_multicast or "%" in host or not port:
        raise ValueError(f"nobody can be at {text!r}")
    return Address(str(ip), port)


def _refuse(name: str) -> NoReturn:
    raise ProtocolError(f"a record with a wrong {name!r}")
