"""Chains for tests, computed the slow way: SHA-1 as FIPS 180-4 writes it down, block by block."""

import hashlib
import struct
from random import Random

import pytest

from pirate import chain
from pirate.chain import INITIAL, LEAST_SEGMENT, Chain, segment_size, segments
from pirate.model import Digest

_WORD = 0xFFFFFFFF


def compress(state: bytes, block: bytes) -> bytes:
    """The chaining value after one more block."""
    words = [*struct.unpack(">16I", block)]
    for at in range(16, 80):
        words.append(_left(words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16], 1))
    a, b, c, d, e = start = struct.unpack(">5I", state)
    for at, word in enumerate(words):
        if at < 20:
            mixed, constant = b & c | ~b & d, 0x5A827999
        elif at < 40:
            mixed, constant = b ^ c ^ d, 0x6ED9EBA1
        elif at < 60:
            mixed, constant = b & c | b & d | c & d, 0x8F1BBCDC
        else:
            mixed, constant = b ^ c ^ d, 0xCA62C1D6
        a, b, c, d, e = (_left(a, 5) + mixed + e + constant + word) & _WORD, a, _left(b, 30), c, d
    return struct.pack(">5I", *(x + y & _WORD for x, y in zip(start, (a, b, c, d, e), strict=True)))


def state_after(data: bytes, state: bytes = INITIAL) -> bytes:
    """The chaining value after whole blocks."""
    for at in range(0, len(data), 64):
        state = compress(state, data[at : at + 64])
    return state


def padding(length: int) -> bytes:
    """What SHA-1 appends to a message of ``length`` bytes."""
    return b"\x80" + bytes(-(length + 9) % 64) + (8 * length).to_bytes(8, "big")


def _left(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _WORD


def some_data(size: int, seed: int = 0) -> bytes:
    """Bytes that look random; of two sizes the longer ones begin with the shorter."""
    return Random(seed).randbytes(size)


def digest_of(data: bytes) -> Digest:
    """What hashlib says."""
    return Digest(hashlib.sha1(data).digest())


def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files into segments of 64 to 256 bytes, so that a small one has many."""
    monkeypatch.setattr(chain, "LEAST_SEGMENT", 64)
    monkeypatch.setattr(chain, "MOST_SEGMENT", 256)
    monkeypatch.setattr(chain, "SEGMENTS", 8)


def chain_of(data: bytes) -> Chain:
    """The chain of some bytes, each state computed from the file's start."""
    step = segment_size(len(data))
    states = b"".join(state_after(data[:stop]) for stop in range(step, len(data), step))
    return Chain(digest_of(data), len(data), states)


def false_chain(true: Chain, wrong: set[int]) -> Chain:
    """A chain of the same file whose states of these numbers, from 1, are invented."""
    states = [true.link(index).after for index in range(true.count - 1)]
    for number in wrong:
        states[number - 1] = hashlib.sha1(b"%d" % number).digest()
    return Chain(true.digest, true.size, b"".join(states))


def invented_chain(count: int, seed: int = 0) -> Chain:
    """A chain of ``count`` segments of a file that nobody has."""
    total = count * LEAST_SEGMENT
    while segments(total) != count:
        total *= 2
    rng = Random(seed)
    return Chain(Digest(rng.randbytes(20)), total, rng.randbytes(20 * (count - 1)))
