import ctypes
import hashlib
import logging
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from chains import digest_of, padding, some_data, state_after
from hypothesis import given
from hypothesis import strategies as st

from pirate.chain import INITIAL, LEAST_SEGMENT, MOST_SEGMENT
from pirate.disk import hashing, sha1
from pirate.disk.sha1 import Sha1, available
from pirate.scope import Stop

AROUND = [block + step for block in (0, 64, 128, LEAST_SEGMENT) for step in (-9, -8, -1, 0, 1)]


def view(data: bytes) -> memoryview:
    return memoryview(bytearray(data))


def hashed(data: bytes, state: bytes = INITIAL, done: int = 0) -> Sha1:
    under_way = Sha1(state, done)
    under_way.update(view(data))
    return under_way


@pytest.fixture(autouse=True)
def _looked_for_anew() -> Iterator[None]:
    sha1._proven_library_or_none.cache_clear()
    yield
    sha1._proven_library_or_none.cache_clear()


def test_this_python_lends_its_sha_1() -> None:
    assert available()


@pytest.mark.parametrize(
    "length", sorted({*(n for n in AROUND if n >= 0), 119, 120, 1000, MOST_SEGMENT + 1})
)
def test_the_digest_is_hashlibs(length: int) -> None:
    data = some_data(length)
    assert hashed(data).digest() == digest_of(data)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_however_it_is_cut_the_digest_is_the_same(data: bytes, cuts: list[int]) -> None:
    under_way = Sha1()
    edges = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    for start, stop in pairwise(edges):
        under_way.update(view(data[start:stop]))
    assert under_way.digest() == digest_of(data)


@given(st.integers(0, 6), st.binary(max_size=130))
def test_a_hash_that_was_stopped_goes_on_from_its_state(blocks: int, rest: bytes) -> None:
    first = some_data(64 * blocks)
    state = hashed(first).state()
    assert state == state_after(first)
    assert hashed(rest, state, len(first)).digest() == digest_of(first + rest)


def test_a_slice_of_a_buffer_is_hashed_where_it_lies() -> None:
    buffer = view(b"..abc..")
    under_way = Sha1()
    under_way.update(buffer[2:5])
    under_way.update(buffer[5:5])
    assert under_way.digest() == digest_of(b"abc")


@pytest.mark.parametrize("done", [2**29 - 64, 2**29, 2**32 - 64, 2**32, 5 * 2**32 + 64, 2**40])
@pytest.mark.parametrize("rest", [b"", b"the end", bytes(64)])
def test_bits_are_counted_beyond_one_word(done: int, rest: bytes) -> None:
    """512 MiB fill the low word of the count, 4 GiB the low word of the number of bytes."""
    state = some_data(20)
    last = rest + padding(done + len(rest))
    assert hashed(rest, state, done).digest() == state_after(last, state)


def test_640_mib_in_one_go_are_counted_right() -> None:
    piece = view(bytes(64 * 2**20))
    ours, theirs = Sha1(), hashlib.sha1()
    for _ in range(10):
        ours.update(piece)
        theirs.update(piece)
    assert ours.digest() == theirs.digest()


def test_other_threads_run_while_it_hashes() -> None:
    piece, under_way = view(bytes(256 * 2**20)), Sha1()
    counted = 0
    thread = threading.Thread(target=under_way.update, args=(piece,))
    thread.start()
    while thread.is_alive():
        counted += 1
    thread.join()
    assert counted > 1000, "the interpreter was held all the time"


# Without a library.


Context = ctypes.Array[ctypes.c_char]


class Broken:
    """A library that answers, and not always what SHA-1 is."""

    def __init__(self, true: sha1._Library, how: str) -> None:
        self._true = true
        self._how = how

    def update(self, context: Context, data: int, length: int) -> None:
        left_out = self._how == "leaves out a byte" and length > 60_000
        self._true.update(context, data, length - left_out)

    def final(self, out: Context, context: Context) -> None:
        if self._how == "counts 32 bits":
            ctypes.memset(ctypes.addressof(context) + 24, 0, 4)
        self._true.final(out, context)


def nowhere() -> Iterator[tuple[str | None, str]]:
    yield "/nowhere/libcrypto.so", "SHA1"
    yield None, "NO_SUCH_FUNCTION"


@pytest.fixture(name="without", params=["is absent", "leaves out a byte", "counts 32 bits"])
def _without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "is absent":
        monkeypatch.setattr(sha1, "_candidates", nowhere)
        return
    true = sha1._proven_library()
    monkeypatch.setattr(sha1, "_Library", lambda *_: Broken(true, request.param))
    sha1._proven_library_or_none.cache_clear()


@pytest.mark.usefixtures("without")
def test_a_library_that_does_not_prove_itself_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert not available()
    assert not available()
    [record] = caplog.records
    assert (record.name, record.levelname) == ("pirate.disk.sha1", "INFO")
    assert "verified in one pass" in record.message
    with pytest.raises(RuntimeError):
        Sha1()


@pytest.mark.usefixtures("without")
def test_without_a_library_digests_stay_right_and_there_is_no_chain(tmp_path: Path) -> None:
    data = some_data(3 * LEAST_SEGMENT)
    (tmp_path / "file").write_bytes(data)
    done = hashing.hash_one(hashing.Job(str(tmp_path), ("file",), len(data)), Stop())
    assert done
    assert (done.digest, done.states) == (digest_of(data), b"")


@pytest.mark.parametrize("spec", [None, SimpleNamespace(has_location=False, origin="built-in")])
def test_a_python_whose_extension_is_no_file_asks_the_systems_library(
    spec: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    assert [path for path, _ in sha1._candidates()] == ["libcrypto.so.3", "libcrypto.so.1.1"]
    available()
