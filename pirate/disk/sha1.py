"""SHA-1 that can be stopped and continued: chaining values in and out, at full speed.

hashlib hides the state of a hash. The libcrypto that hashlib itself uses does not: its
SHA1_Update takes a 96-byte context that begins with the chaining value of FIPS 180-4, and
ctypes lets go of the interpreter while it runs. Where no such library is found, or it does
not prove itself, ``available`` is False: then files are verified in one pass from their
start, and no chain is offered.
"""

import ctypes
import functools
import hashlib
import importlib.util
import logging
import struct
import sys
from collections.abc import Iterator

from pirate.chain import INITIAL, STATE_SIZE

log = logging.getLogger(__name__)

BLOCK = 64

# SHA_CTX of OpenSSL and its forks, CC_SHA1_CTX of macOS: h0 to h4, then the number of bits so
# far in two words, low and high, then a block and how much of it is filled.
_CONTEXT_BYTES = 96
_CONTEXT = struct.Struct("@7I")
_STATE = struct.Struct(">5I")
_WORD = 0xFFFFFFFF

# Where padding fits into the last block, or just does not, or fills it (FIPS 180-4, 5.1.1).
_TELLING_LENGTHS = (0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000, 65535, 65536, 65537)

# Where the number of bits fills its low word, and where the number of bytes does.
_TELLING_OFFSETS = (0, 2**29 - 64, 2**29, 2**32, 2**40)


class Sha1:
    """One hash under way, for one thread. Only where ``available()``."""

    __slots__ = ("_context", "_library")

    def __init__(
        self, state: bytes = INITIAL, done: int = 0, *, library: "_Library | None" = None
    ) -> None:
        """Go on from ``state``, the chaining value after ``done`` bytes: whole blocks."""
        self._library = library or _proven_library()
        self._context = ctypes.create_string_buffer(_CONTEXT_BYTES)
        bits = 8 * done
        words = (*_STATE.unpack(state), bits & _WORD, bits >> 32 & _WORD)
        _CONTEXT.pack_into(self._context, 0, *words)

    def update(self, data: memoryview) -> None:
        """Hash a writable buffer."""
        if data:
            self._library.update(self._context, address(data), data.nbytes)

    def state(self) -> bytes:
        """The chaining value. It means something after whole blocks only."""
        return _STATE.pack(*_CONTEXT.unpack_from(self._context)[:5])

    def digest(self) -> bytes:
        """The digest; the hash is over."""
        out = ctypes.create_string_buffer(STATE_SIZE)
        self._library.final(out, self._context)
        return out.raw


def available() -> bool:
    """Whether a library was found that computes SHA-1 as hashlib does."""
    return _proven_library_or_none() is not None


def address(data: memoryview) -> int:
    """Where a writable buffer lies in memory, for as long as it lives."""
    return ctypes.addressof(ctypes.c_char.from_buffer(data))


class _Library:
    """The two functions that we need of a library."""

    def __init__(self, path: str | None, prefix: str) -> None:
        """Raises OSError or AttributeError if it has none."""
        library = ctypes.CDLL(path)
        self.update = getattr(library, f"{prefix}_Update")
        self.update.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        self.final = getattr(library, f"{prefix}_Final")
        self.final.argtypes = (ctypes.c_void_p, ctypes.c_void_p)


def _candidates() -> Iterator[tuple[str | None, str]]:
    """Where to look, the likeliest first."""
    if sys.platform == "darwin":
        # Never a libcrypto without a version there: loading one ends the process.
        yield "/usr/lib/libSystem.dylib", "CC_SHA1"
        return
    extension = importlib.util.find_spec("_hashlib")
    if extension and extension.has_location:
        yield extension.origin, "SHA1"  # dlsym looks into what it is linked to
    # A Python that has it built in, or linked statically, hides its own; any other serves as well.
    yield "libcrypto.so.3", "SHA1"
    yield "libcrypto.so.1.1", "SHA1"


@functools.cache
def _proven_library_or_none() -> _Library | None:
    for path, prefix in _candidates():
        try:
            library = _Library(path, prefix)
        except (OSError, AttributeError):
            continue
        if _proves_itself(library):
            return library
    log.info("no libcrypto lends its SHA-1: files are verified in one pass, without chains")
    return None


def _proven_library() -> _Library:
    library = _proven_library_or_none()
    if library is None:
        raise RuntimeError("no SHA-1 with chaining values here")
    return library


def _proves_itself(library: _Library) -> bool:
    """Whether it gives hashlib's digests, also when it is stopped and continued."""
    return all(_agrees(library, length) for length in _TELLING_LENGTHS) and all(
        _counts(library, done) for done in _TELLING_OFFSETS
    )


def _agrees(library: _Library, length: int) -> bool:
    data = memoryview(bytearray(range(256)) * (length // 256 + 1))[:length]
    wanted = hashlib.sha1(data, usedforsecurity=False).digest()
    for cut in {0, length // BLOCK // 2 * BLOCK, length // BLOCK * BLOCK}:
        first = Sha1(library=library)
        first.update(data[:cut])
        second = Sha1(first.state(), cut, library=library)
        second.update(data[cut:])
        if second.digest() != wanted:
            return False
    return True


def _counts(library: _Library, done: int) -> bool:
    """Whether the padding counts what was hashed before: padded by hand it is the same."""
    last = Sha1(INITIAL, done, library=library)
    padding = b"\x80" + bytes(BLOCK - 1 - 8) + (8 * done).to_bytes(8, "big")
    padded = Sha1(INITIAL, library=library)
    padded.update(memoryview(bytearray(padding)))
    return last.digest() == padded.state()
