import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chains import chain_of, digest_of, small_segments, some_data

from pirate import chain
from pirate.chain import KIB, MIB, Chain, segment_size, segments
from pirate.disk import hashing
from pirate.disk.hashing import READ_BYTES, Hashed, Job, hash_one
from pirate.disk.sha1 import Sha1
from pirate.scope import Stop


def hash_of(path: Path) -> Hashed | None:
    return hash_one(Job(str(path.parent), (path.name,), path.stat().st_size), Stop())


def states_of(data: bytes) -> bytes:
    """Every state by itself, from the segment before it; tests/test_chain.py knows them right."""
    step, state, states = segment_size(len(data)), chain.INITIAL, b""
    for at in range(0, (segments(len(data)) - 1) * step, step):
        sha1 = Sha1(state, at)
        sha1.update(memoryview(bytearray(data[at : at + step])))
        state = sha1.state()
        states += state
    return states


@pytest.mark.parametrize(
    "size",
    [
        *(64 * KIB + step for step in (-1, 0, 1)),
        *(128 * KIB + step for step in (-1, 0, 1)),
        *(MIB + step for step in (-1, 0, 1)),
        READ_BYTES + 64 * KIB,
        *(32 * MIB + step for step in (0, 1)),
    ],
)
def test_a_file_gets_its_chain_with_its_digest(tmp_path: Path, size: int) -> None:
    path, data = tmp_path / "file", some_data(size)
    path.write_bytes(data)
    hashed = hash_of(path)
    assert hashed
    assert hashed.digest == digest_of(data)
    assert hashed.states == states_of(data)
    assert Chain(hashed.digest, size, hashed.states).count == segments(size)


@pytest.mark.parametrize("read_bytes", [64, 100, 256, 1000, 10_000])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 511, 512, 513, 1000, 2048, 2049])
def test_reads_and_segments_need_not_meet(
    tmp_path: Path, size: int, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_segments(monkeypatch)
    monkeypatch.setattr(hashing, "LEAST_SEGMENT", 64)
    monkeypatch.setattr(hashing, "READ_BYTES", read_bytes)
    path, data = tmp_path / "file", some_data(size)
    path.write_bytes(data)
    hashed = hash_of(path)
    assert hashed
    assert Chain(hashed.digest, size, hashed.states) == chain_of(data)


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    counts: list[int] = []
    real = os.preadv

    def preadv(file: int, buffers: list[memoryview], offset: int) -> int:
        counts.append(real(file, buffers, offset))
        return counts[-1]

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", preadv)
        yield counts


def test_digest_and_chain_are_made_in_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 5 * READ_BYTES + 3
    path = tmp_path / "file"
    path.write_bytes(some_data(size))
    with counting(monkeypatch) as reads:
        assert hash_of(path)
    assert sum(reads) == size
    assert reads == [READ_BYTES] * 5 + [3, 0]


@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten"])
def test_a_file_that_changes_while_its_chain_is_made_has_none(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "file", some_data(4 * READ_BYTES)
    path.write_bytes(data)
    os.utime(path, ns=(0, 0))
    real, calls = os.preadv, 0

    def preadv(file: int, buffers: list[memoryview], offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            match change:
                case "grows":
                    path.write_bytes(data + b"!")
                case "shrinks":
                    os.truncate(path, READ_BYTES + 1)
                case "is rewritten":
                    path.write_bytes(data[:-1] + b"!")
        return real(file, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", preadv)
        assert hash_of(path) is None


def test_who_is_stopped_gives_neither_digest_nor_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, stop = tmp_path / "file", Stop()
    path.write_bytes(some_data(4 * READ_BYTES))
    stop.set()
    with counting(monkeypatch) as reads:
        assert hash_one(Job(str(tmp_path), ("file",), 4 * READ_BYTES), stop) is None
    assert len(reads) == 1
