"""An announcement as the TXT record of DNS service discovery, for those who find us by mDNS.

All of it is in this one record, addresses too, the nearest first. The host's address records
tell no order, and what is put together from several records can be put together wrong. Anybody
on the LAN can have written one, so ``decode`` trusts nothing; keys that it does not know are
ignored.
"""

import re
from collections.abc import Iterator
from typing import Any

from pirate import record
from pirate.errors import ProtocolError
from pirate.model import Announcement

STRING_LIMIT = 255  # one byte tells the length of a string
ACCEPTED_LIMIT = 1300  # RFC 6763: more does not fit into one packet

# The version of this format; RFC 6763 wants it to be the first of the strings.
_HEAD = "txtvers=1"
_ADDRESS = "address"
_TEXTS = ("name", "version")
_COUNTS = ("revision", "files", "size")
_MOMENT = "started"

_COUNT = re.compile(r"[0-9]{1,20}")
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def encode(announcement: Announcement) -> bytes:
    """The record of ``announcement``; ValueError if it is one that others would not accept."""
    strings = [_HEAD]
    strings += [f"{_ADDRESS}={address}" for address in announcement.addresses]
    strings += [f"{key}={getattr(announcement, key)}" for key in (*_TEXTS, *_COUNTS)]
    strings.append(f"{_MOMENT}={announcement.started:.3f}")
    if announcement.instance:
        strings.append(f"instance={announcement.instance}")
    data = b"".join(_string(text) for text in strings)
    try:
        decode(str(announcement.id), data)
    except ProtocolError as error:
        raise ValueError(f"nobody would accept this announcement: {error}") from error
    return data


def decode(name: str, data: bytes) -> Announcement:
    """The announcement under that name; ProtocolError, and nothing else, if there is none."""
    if len(data) > ACCEPTED_LIMIT:
        raise ProtocolError(f"a TXT record of {len(data)} bytes, more than {ACCEPTED_LIMIT}")
    pairs = [text.partition("=") for text in _strings(data)]
    if not pairs or "".join(pairs[0]) != _HEAD:
        raise ProtocolError(f"a TXT record that does not begin with {_HEAD}")
    fields: dict[str, Any] = {}
    for key, _, value in pairs:
        if key != _ADDRESS:
            fields.setdefault(key, _value(key, value))  # RFC 6763: the first one counts
    fields |= {"id": name, "addresses": [text for key, _, text in pairs if key == _ADDRESS]}
    return record.checked(fields)


def _string(text: str) -> bytes:
    data = text.encode()
    if len(data) > STRING_LIMIT:
        raise ValueError(f"a string of {len(data)} bytes in an announcement")
    return bytes([len(data)]) + data


def _strings(data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            raise ProtocolError("a TXT record that ends within a string")
        try:
            yield data[at + 1 : end].decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a TXT record that is not UTF-8") from error
        at = end


def _value(key: str, text: str) -> str | int | float | None:
    """The value of its type, or what ``record`` refuses."""
    if key in _COUNTS:
        return int(text) if _COUNT.fullmatch(text) else None
    if key == _MOMENT:
        return float(text) if _SECONDS.fullmatch(text) else None
    return text
