import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import strategy_of

from pirate.errors import ProtocolError
from pirate.model import Digest, Entry
from pirate.wire.entries import Run, RunCodec, encode_gone, encoded
from pirate.wire.fields import NAME_LIMIT, EntryCodec, Reader

CODEC = RunCodec()
FILES = tuple(Entry(Digest(bytes([n] * 20)), n, (f"é{n}", "x")[: n % 2 + 1]) for n in range(1, 9))
GONE = Entry(FILES[3].digest, 0, ())

several = st.lists(strategy_of(EntryCodec()), max_size=5)


def decoded(data: bytes) -> Run:
    reader = Reader(data)
    run = CODEC.decode(reader)
    reader.close()
    return run


@given(several)
def test_a_run_is_its_entries_and_their_bytes(entries: list[Entry]) -> None:
    written = CODEC.encode(entries)
    run = decoded(written)
    assert (list(run), len(run)) == (entries, len(entries))
    assert written[2:] == run.data == b"".join(map(EntryCodec().encode, entries))
    assert run.sizes() == sum(entry.size for entry in entries)
    assert list(run.raw()) == [(one.digest, one.size, list(one.names)) for one in entries]
    assert list(run.digests()) == [entry.digest for entry in entries]
    assert run == tuple(entries) == run
    assert hash(run) == hash(decoded(written))


@given(several, st.integers(0, 6), st.integers(0, 6))
def test_parts_and_joints_of_runs_are_those_of_their_entries(
    entries: list[Entry], first: int, stop: int
) -> None:
    run = Run.of(entries)
    assert list(run.part(min(first, len(run)), stop)) == entries[first:stop]
    assert list(run[first:stop]) == entries[first:stop]
    parts = list(run.parts(40 * first + 1))
    assert list(Run.joined(parts)) == entries
    assert all(len(part) == 1 or len(part.data) <= 40 * first + 1 for part in parts)


def test_places_in_a_run_that_ascends_are_found() -> None:
    run = Run.of(FILES)
    assert run.ascends(bytes(20))
    assert not run.ascends(FILES[0].digest)
    assert not Run.of((FILES[1], FILES[0])).ascends(bytes(20))
    for number, entry in enumerate(FILES):
        assert (run.least(entry.digest), run.above(entry.digest)) == (number, number + 1)
    between = bytes([4]) * 19 + b"\5"
    assert run.least(between) == run.above(between) == 4
    assert run.above(b"\xff" * 20) == len(FILES)
    assert (run[-1], run.digest(2)) == (FILES[-1], FILES[2].digest)


def test_what_is_gone_is_an_entry_without_names() -> None:
    run = Run.of((*FILES, GONE))
    assert run.gone
    assert run[-1] == GONE
    assert decoded(CODEC.encode(run)) == run
    assert not Run.of(FILES).gone


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\0\1" + bytes(19), "inside a field"),
        (b"\0\1" + bytes(29), "inside a field"),
        (b"\0\2" + bytes(30), "inside a field"),
        (b"\0\1" + bytes(28) + b"\0\1\0\2a", "inside a field"),
        (b"\0\1" + bytes(28) + b"\0\1\0\1\xff", "not UTF-8"),
        (b"\0\1" + bytes(28) + b"\0\1\0\3\xed\xa0\x80", "not UTF-8"),
        (b"\0\1" + bytes(28) + b"\0\1\x04\x01" + bytes(1025), "more than 1024"),
        (b"\0\1" + bytes(28) + b"\0\x11" + bytes(99), "17 items"),
        (b"\0\1" + bytes(27) + b"\1\0\0", "has a size"),
        (b"\0\0\0", "after the last field"),
    ],
)
def test_what_is_no_run_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        decoded(data)


def test_too_many_or_impossible_entries_are_not_written() -> None:
    with pytest.raises(ValueError, match="65536 items"):
        CODEC.encode(Run.of([GONE] * 65536))
    with pytest.raises(ValueError, match="more than 1024"):
        Run.of([Entry(GONE.digest, 1, ("x" * 1025,))])


def test_an_entry_is_encoded_as_its_codec_does_it() -> None:
    digest = Digest(bytes(20))
    for names in (("a/\u00e9",), ("a", "b" * NAME_LIMIT)):
        run = Run.packed([encoded(digest, 7, names)])
        assert run.data == Run.of([Entry(digest, 7, names)]).data
        assert list(run) == [Entry(digest, 7, names)]
    assert encoded(digest, 0, ()) == encode_gone(digest)
