"""A file that goes out while it comes: in order, proven, and never called right when it is not."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, cast

import pytest
from fake import Fake, Line
from fetch.rig import Rig
from honest import digest_of, some_bytes
from processes.peers import until
from vouching import chain_of, honest, rejoins, slow

from pirate.byterange import WHOLE, ByteRange
from pirate.chain import Chain, Link
from pirate.deadline import Deadline
from pirate.disk.partfile import PartFile
from pirate.errors import IntegrityError, OutsideError, PirateError, TimedOutError
from pirate.fetch.follow import Follower, Sink
from pirate.scope import Scope

if TYPE_CHECKING:
    from pirate.fetch.download import Download

TRUTH = some_bytes(700_000)
DIGEST = digest_of(TRUTH)
CHAIN = chain_of(TRUTH)
NEVER = Deadline.within(None)


class Links:
    """A download of which a test says what is proven."""

    def __init__(self, chain: Chain, *there: int) -> None:
        self.chain = chain
        self.there = set(there)
        self.size = chain.size

    def proven(self, index: int) -> Link | None:
        return self.chain.link(index) if index in self.there else None

    def disproved(self, *_: object) -> bool:
        return False


@pytest.fixture(name="part")
def _part(tmp_path: Path) -> Iterator[PartFile]:
    folder = os.open(tmp_path, os.O_RDONLY)
    with PartFile(folder, DIGEST) as part:
        part.write(memoryview(TRUTH), 0)
        yield part
        part.truncate(0)
    os.close(folder)


@contextlib.contextmanager
def piped(read: bytearray, most: int = 1 << 30) -> Iterator[int]:
    """A pipe to write to, with a reader behind it that closes it after ``most`` bytes."""
    reading, writing = os.pipe()

    def drain() -> None:
        while len(read) < most and (data := os.read(reading, 65536)):
            read.extend(data)
        os.close(reading)

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        yield writing
    finally:
        os.close(writing)
        reader.join()


def followed(
    links: Links,
    part: PartFile,
    out: int,
    error: PirateError | None = None,
    asked: ByteRange = WHOLE,
) -> None:
    """Follow a download that is over."""
    with Sink(out) as sink:
        follower = Follower(cast("Download", links), part, sink, NEVER, asked)

        def run() -> None:
            if error:
                raise error

        follower.download(run)
        follower.run(DIGEST)


def test_all_segments_go_out_in_order(part: PartFile) -> None:
    read = bytearray()
    with piped(read) as out:
        followed(Links(CHAIN, *range(CHAIN.count)), part, out)
    assert read == TRUTH


@pytest.mark.parametrize("there", [0, 1, 5])
def test_a_file_that_is_whole_by_other_means_is_written_from_there(
    part: PartFile, there: int
) -> None:
    read = bytearray()
    with piped(read) as out:
        followed(Links(CHAIN, *range(there)), part, out)
    assert read == TRUTH


def test_what_was_written_under_a_chain_that_turned_out_false_is_an_error(part: PartFile) -> None:
    false = Random(1).randbytes(len(TRUTH))
    part.write(memoryview(false), 0)
    links = Links(chain_of(false, DIGEST), 0, 1)
    read = bytearray()
    with piped(read) as out, Sink(out) as sink:
        follower = Follower(cast("Download", links), part, sink, NEVER)

        def turn_out_false() -> None:
            assert until(lambda: len(read) == CHAIN.start(2))
            part.write(memoryview(TRUTH), 0)

        with Scope() as scope:
            scope.spawn("download", lambda: follower.download(turn_out_false))
            with pytest.raises(IntegrityError, match="trust none"):
                follower.run(DIGEST)
    assert read == false[: CHAIN.start(2)]


def test_bytes_that_do_not_prove_their_link_do_not_go_out(part: PartFile) -> None:
    part.write(memoryview(b"x"), CHAIN.start(2))
    read = bytearray()
    with piped(read) as out, pytest.raises(TimedOutError):
        followed(Links(CHAIN, *range(CHAIN.count)), part, out, TimedOutError("over"))
    assert TRUTH.startswith(read)
    assert len(read) <= CHAIN.start(2)


def test_a_download_that_fails_ends_it_with_the_same_error(part: PartFile) -> None:
    read = bytearray()
    with piped(read) as out, pytest.raises(TimedOutError, match="why"):
        followed(Links(CHAIN), part, out, TimedOutError("why"))
    assert read == b""


def test_a_reader_that_takes_nothing_ends_by_the_deadline(part: PartFile) -> None:
    reading, writing = os.pipe()
    links = Links(CHAIN, *range(CHAIN.count))
    with Sink(writing) as sink:
        follower = Follower(cast("Download", links), part, sink, Deadline(0.3))
        follower.download(lambda: None)
        with pytest.raises(TimedOutError, match="were written"):
            follower.run(DIGEST)
    assert os.get_blocking(writing), "the flag would be forced on whoever shares the pipe"
    os.close(writing)
    os.close(reading)


@pytest.fixture(name="rig")
def _rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "downloads"
    folder.mkdir()
    return Rig(folder)


def test_bytes_go_out_long_before_the_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with Fake(slow(TRUTH, 1_000_000)) as fake, rig.getter([fake.peer]) as getter:
        read = bytearray()
        seen: list[tuple[int, int]] = []

        def look(done: int, size: int) -> None:
            assert size == len(TRUTH)
            seen.append((done, len(read)))

        monkeypatch.setattr(rig.watcher, "progress", look)
        with piped(read) as out:
            getter.to_stream(DIGEST, out)
    assert read == TRUTH
    done, written = seen[-2]
    assert done - written < 3 * CHAIN.segment, seen


def test_a_liar_who_makes_up_a_beginning_is_never_a_success(rig: Rig) -> None:
    read = bytearray()
    with (
        Fake(rejoins(TRUTH, 6)) as fake,
        rig.getter([fake.peer]) as getter,
        piped(read) as out,
        pytest.raises(IntegrityError),
    ):
        getter.to_stream(DIGEST, out)
    assert len(read) < len(TRUTH)


def test_a_liar_beside_an_honest_holder_makes_no_success_of_false_bytes(rig: Rig) -> None:
    read = bytearray()
    succeeded = False
    with (
        Fake(rejoins(TRUTH, 6)) as liar,
        Fake(honest(TRUTH)) as good,
        rig.getter([liar.peer, good.peer]) as getter,
        piped(read) as out,
        contextlib.suppress(IntegrityError),  # the liar may have been heard alone for a moment
    ):
        getter.to_stream(DIGEST, out)
        succeeded = True
    assert succeeded == (read == TRUTH)


def test_a_made_up_beginning_ends_it_before_the_rest_is_fetched(rig: Rig) -> None:
    read = bytearray()
    good = slow(TRUTH, 200_000)

    def later(line: Line) -> None:
        until(lambda: len(read) >= CHAIN.start(2))
        good(line)

    with (
        Fake(rejoins(TRUTH, 6)) as liar,
        Fake(later) as fake,
        rig.getter([liar.peer, fake.peer]) as getter,
        piped(read) as out,
        pytest.raises(IntegrityError, match="trust none"),
    ):
        getter.to_stream(DIGEST, out)
    assert good.sent < len(TRUTH) // 2


def test_a_reader_that_goes_away_ends_it(rig: Rig) -> None:
    read = bytearray()
    with (
        Fake(honest(TRUTH)) as fake,
        rig.getter([fake.peer]) as getter,
        piped(read, 10) as out,
        pytest.raises(BrokenPipeError),
    ):
        getter.to_stream(DIGEST, out)
    assert TRUTH.startswith(read)


# Ranges.

STEP = CHAIN.segment
RANGES = ["0-9", f"{STEP - 1}-{STEP}", f"{2 * STEP}-{4 * STEP - 1}", "100000-600000", "-5", "7-"]


@pytest.mark.parametrize("asked", RANGES)
@pytest.mark.parametrize("there", [0, 3, CHAIN.count])
def test_of_a_range_only_its_bytes_go_out(part: PartFile, asked: str, there: int) -> None:
    part_of_it = ByteRange.parse(asked)
    start, stop = part_of_it.within(len(TRUTH))
    read = bytearray()
    with piped(read) as out:
        followed(Links(CHAIN, *range(there)), part, out, asked=part_of_it)
    assert read == TRUTH[start:stop]


def test_a_range_behind_the_end_is_an_error(part: PartFile) -> None:
    read = bytearray()
    with piped(read) as out, pytest.raises(OutsideError):
        followed(Links(CHAIN, *range(CHAIN.count)), part, out, asked=ByteRange.parse("700000-"))
    assert read == b""


@pytest.mark.parametrize("chained", [True, False], ids=["another chain", "no chain"])
def test_a_range_that_was_written_under_a_chain_that_turned_out_false_is_an_error(
    part: PartFile, *, chained: bool
) -> None:
    """Whether others brought the truth under their own chain, or without any."""
    false = Random(1).randbytes(4 * STEP) + TRUTH[4 * STEP :]
    part.write(memoryview(false), 0)
    links = Links(chain_of(false, DIGEST), 2)
    read = bytearray()
    with piped(read) as out, Sink(out) as sink:
        asked = ByteRange(2 * STEP + 5, None)
        follower = Follower(cast("Download", links), part, sink, NEVER, asked)

        def turn_out_false() -> None:
            assert until(lambda: len(read) == STEP - 5)
            part.write(memoryview(TRUTH), 0)
            links.chain, links.there = CHAIN, set(range(CHAIN.count) if chained else ())

        with Scope() as scope:
            scope.spawn("download", lambda: follower.download(turn_out_false))
            with pytest.raises(IntegrityError, match="trust none"):
                follower.run(DIGEST)
    assert read == false[2 * STEP + 5 : 3 * STEP]


@pytest.mark.parametrize("stop", [4 * STEP - 1, len(TRUTH)])
def test_a_range_that_is_whole_by_other_means_goes_on_where_it_was(
    part: PartFile, stop: int
) -> None:
    links = Links(CHAIN, *range(2, 4), *([*range(4, CHAIN.count)] if stop == len(TRUTH) else []))
    read = bytearray()
    with piped(read) as out, Sink(out) as sink:
        asked = ByteRange(2 * STEP + 5, stop)
        follower = Follower(cast("Download", links), part, sink, NEVER, asked)

        def end_without_chains() -> None:
            assert until(lambda: len(read) == min(stop + 1, len(TRUTH)) - 2 * STEP - 5)
            links.there = set()

        with Scope() as scope:
            scope.spawn("download", lambda: follower.download(end_without_chains))
            follower.run(DIGEST)
    assert read == TRUTH[2 * STEP + 5 : stop + 1]


@pytest.mark.parametrize("asked", RANGES)
def test_a_range_streams_from_real_sockets(rig: Rig, asked: str) -> None:
    rig.asked = ByteRange.parse(asked)
    start, stop = rig.asked.within(len(TRUTH))
    read = bytearray()
    with Fake(honest(TRUTH)) as fake, rig.getter([fake.peer]) as getter, piped(read) as out:
        getter.to_stream(DIGEST, out)
    assert read == TRUTH[start:stop]


def test_a_liar_makes_no_success_of_a_false_range_beside_an_honest_holder(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirate.fetch.board.HEAR_SECONDS", 10.0)
    rig.asked = ByteRange.parse(f"{2 * STEP}-{5 * STEP}")
    read = bytearray()
    succeeded = False
    with (
        Fake(rejoins(TRUTH, 6)) as liar,
        Fake(honest(TRUTH)) as good,
        rig.getter([liar.peer, good.peer]) as getter,
        piped(read) as out,
        contextlib.suppress(IntegrityError),
    ):
        getter.to_stream(DIGEST, out)
        succeeded = True
    assert succeeded == (read == TRUTH[2 * STEP : 5 * STEP + 1])
