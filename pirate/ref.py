"""How people name a file: the forms of REF on the command line."""

import base64
import binascii
from dataclasses import dataclass

from pirate.errors import UsageError
from pirate.model import Digest

SHORTEST_PREFIX = 8
_HEX_DIGITS = 2 * Digest.SIZE


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first hex digits of a digest, in lower case: at least 8, fewer than 40."""

    digits: str

    def matches(self, digest: Digest) -> bool:
        """Whether ``digest`` begins with these digits."""
        return digest.hex().startswith(self.digits)

    @property
    def cursor(self) -> Digest:
        """The greatest digest below every match: listing after it starts at the first match."""
        first = int(self.digits.ljust(_HEX_DIGITS, "0"), 16)
        return Digest(max(first - 1, 0).to_bytes(Digest.SIZE, "big"))

    def __str__(self) -> str:
        return self.digits


def parse_ref(text: str) -> Digest | Prefix:
    """Read hex digits, ``sha1:HEX``, ``urn:sha1:BASE32`` or a magnet link.

    Gives the digest, or the prefix of one; UsageError says what is wrong.
    """
    low = text.strip().lower()
    if low.startswith("magnet:?"):
        return _magnet(low)
    if low.startswith("urn:sha1:"):
        return _urn(low)
    return _hex(low.removeprefix("sha1:"), text)


def _hex(digits: str, text: str) -> Digest | Prefix:
    if not digits or set(digits) - set("0123456789abcdef"):
        raise UsageError(f"{text!r} is not a SHA-1: hex digits are expected")
    if len(digits) == _HEX_DIGITS:
        return Digest(bytes.fromhex(digits))
    if SHORTEST_PREFIX <= len(digits) < _HEX_DIGITS:
        return Prefix(digits)
    raise UsageError(
        f"{text!r} has {len(digits)} hex digits: a SHA-1 has {_HEX_DIGITS}, "
        f"a prefix of one at least {SHORTEST_PREFIX}"
    )


def _urn(low: str) -> Digest:
    name = low.removeprefix("urn:sha1:")
    try:
        return Digest(base64.b32decode(name, casefold=True))
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"{low!r}: urn:sha1: takes 32 base32 characters") from error


def _magnet(low: str) -> Digest:
    for parameter in low.removeprefix("magnet:?").split("&"):
        key, _, value = parameter.partition("=")
        if key == "xt" and value.replace("%3a", ":").startswith("urn:sha1:"):
            return _urn(value.replace("%3a", ":"))
    raise UsageError("the magnet link names no xt=urn:sha1:...")
