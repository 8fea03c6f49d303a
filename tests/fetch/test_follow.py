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

from pirate.chain import Chain, Link
from pirate.deadline import Deadline
from pirate.disk.partfile import PartFile
from pirate.errors import IntegrityError, PirateError, TimedOutError
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


def followed(links: Links, part: PartFile, out: int, error: PirateError | None = None) -> None:
    """Follow a download that is over."""
    with Sink(out) as sink:
        follower = Follower(cast("Download", links), part, sink, NEVER)

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
