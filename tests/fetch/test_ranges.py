"""A part of a file: what of it is fetched, from whom, and what becomes of the part file."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from chains import false_chain
from evil import Holder
from fake import Fake, Line
from fetch.rig import Rig
from honest import Honest, digest_of, some_bytes
from vouching import another_chain, chain_of, flips, honest, rejoins, resized, slow

from pirate.byterange import WHOLE, ByteRange
from pirate.chain import LEAST_SEGMENT, Chain, segments
from pirate.disk import sha1
from pirate.disk.partfile import CUT_SUFFIX, PartFile
from pirate.errors import (
    BusyError,
    ExistsError,
    IntegrityError,
    LocalIOError,
    OutsideError,
    StoppedError,
)
from pirate.fetch.landing import Landing
from pirate.fetch.target import IfExists, Verdict
from pirate.fetch.terms import Received

STEP = LEAST_SEGMENT
SIZE = 20 * STEP + 1000
TRUTH = some_bytes(SIZE)
DIGEST = digest_of(TRUTH)
LAST = segments(SIZE) - 1


@pytest.fixture(name="rig")
def _rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    # However slow this machine is, all that are asked at first are heard.
    monkeypatch.setattr("pirate.fetch.board.HEAR_SECONDS", 10.0)
    folder = tmp_path / "downloads"
    folder.mkdir()
    return Rig(folder, seconds=20.0)


def content(rig: Rig) -> bytes:
    assert rig.path
    return rig.path.read_bytes()


def get(rig: Rig, asked: str, *fakes: Fake) -> Received:
    rig.asked = ByteRange.parse(asked)
    verdict, received = rig.get(DIGEST, *(fake.peer for fake in fakes))
    assert verdict is Verdict.WANTED
    return received


def read(holder: Holder) -> list[int]:
    """The segments that were asked of it."""
    return sorted({offset // STEP for offset, _ in holder.reads})


# What is fetched.


@pytest.mark.parametrize(
    ("asked", "touched"),
    [
        ("0-0", [0]),
        (f"0-{STEP - 1}", [0]),
        (f"{STEP - 1}-{STEP}", [0, 1]),
        (f"{STEP}-{2 * STEP - 1}", [1]),
        (f"{3 * STEP}-{3 * STEP}", [3]),
        (f"{3 * STEP + 5}-{6 * STEP + 5}", [3, 4, 5, 6]),
        (f"{20 * STEP}-", []),
        (f"{SIZE - 1}-", []),
        (f"{SIZE - 1}-{SIZE + 10}", []),
        ("-1", []),
        ("-1001", [19]),
        (f"-{2 * SIZE}", [*range(LAST)]),
    ],
)
def test_the_segments_that_it_touches_and_the_last_are_fetched_and_no_others(
    rig: Rig, asked: str, touched: list[int]
) -> None:
    holder = honest(TRUTH)
    with Fake(holder) as fake:
        received = get(rig, asked, fake)
    start, stop = ByteRange.parse(asked).within(SIZE)
    assert content(rig) == TRUTH[start:stop]
    assert read(holder) == [*touched, LAST]
    assert received.bytes == (start, stop)
    assert received.size == SIZE
    assert received.by_digest == (len(touched) == LAST)
    assert os.listdir(rig.folder) == ["file"]  # noqa: PTH208
    assert rig.watcher.done[-1] == received.received


@pytest.mark.parametrize("size", [0, 1, 1000, STEP, STEP + 1, 3 * STEP])
def test_files_of_all_sizes_come_from_real_servers(rig: Rig, honest: Honest, size: int) -> None:
    data = TRUTH[:size]
    digest = honest.put("file", data)
    rig.asked = ByteRange.parse("-10")
    _, received = rig.get(digest, honest.peer)
    assert content(rig) == data[-10:]
    assert received.by_digest == (segments(size) == 1 or size == STEP + 1)


@pytest.mark.parametrize("size", [0, 1000, SIZE])
def test_a_range_behind_the_end_costs_one_segment_and_leaves_nothing(rig: Rig, size: int) -> None:
    rig.asked = ByteRange.parse(f"{size}-")
    holder = honest(TRUTH[:size])
    with Fake(holder) as fake, pytest.raises(OutsideError, match=f"the file has {size} bytes"):
        rig.get(digest_of(TRUTH[:size]), fake.peer)
    assert len(read(holder)) <= 1
    assert not list(rig.folder.iterdir())


def test_a_range_takes_no_more_of_the_disk_than_itself(rig: Rig) -> None:
    rig.asked = ByteRange.parse(f"{2 * STEP}-{3 * STEP - 1}")
    taken = []
    real = PartFile.publish

    def publish(part: PartFile, name: str, *, overwrite: bool = False) -> None:
        taken.append(rig.part(DIGEST).stat())
        real(part, name, overwrite=overwrite)

    with pytest.MonkeyPatch.context() as patch, Fake(honest(TRUTH)) as fake:
        patch.setattr(PartFile, "publish", publish)
        rig.get(DIGEST, fake.peer)
    assert [status.st_size for status in taken] == [SIZE]
    assert taken[0].st_blocks * 512 < 3 * STEP


# Who is believed.


def test_a_segment_that_is_false_convicts_its_sender_and_comes_from_another(rig: Rig) -> None:
    late = honest(TRUTH)
    late.hesitates = 0.03
    with Fake(flips(TRUTH, 3), name="evil") as evil, Fake(late) as good:
        get(rig, f"{3 * STEP}-{4 * STEP}", evil, good)
    assert content(rig) == TRUTH[3 * STEP : 4 * STEP + 1]


def test_a_lie_elsewhere_is_not_even_met(rig: Rig) -> None:
    with Fake(flips(TRUTH, 9), name="evil") as evil:
        get(rig, "0-9", evil)
    assert content(rig) == TRUTH[:10]


@pytest.mark.parametrize("at", [2, 3, 9, LAST - 1])
@pytest.mark.parametrize("first", ["evil", "good"])
def test_where_claims_disagree_one_more_segment_tells_who_lies(
    rig: Rig, at: int, first: str
) -> None:
    evil, good = rejoins(TRUTH, at + 1), honest(TRUTH)
    (good if first == "evil" else evil).hesitates = 0.03
    with Fake(evil, name="evil") as one, Fake(good, name="good") as other:
        received = get(rig, f"{3 * STEP}-{3 * STEP + 9}", one, other)
    assert content(rig) == TRUTH[3 * STEP : 3 * STEP + 10]
    assert {*read(evil), *read(good)} <= {3, at, LAST}
    assert not received.by_digest


def test_a_chain_that_is_false_in_many_places_costs_no_more_segments(rig: Rig) -> None:
    chain = false_chain(chain_of(TRUTH), {1, 3, 5, 7, 9, 11, 13, 15})
    evil, good = Holder(TRUTH, chain=chain), honest(TRUTH)
    good.hesitates = 0.03
    with Fake(evil) as one, Fake(good) as other:
        get(rig, f"{17 * STEP}-{17 * STEP + 9}", one, other)
    assert content(rig) == TRUTH[17 * STEP : 17 * STEP + 10]
    assert {*read(evil), *read(good)} == {1, 17, LAST}


@pytest.mark.parametrize(
    "evil",
    [
        resized(TRUTH, 5 * STEP),
        resized(TRUTH, SIZE + 1),
        resized(TRUTH, 30 * STEP),
        resized(TRUTH, 0),
        another_chain(TRUTH, some_bytes(SIZE, 1)),
    ],
    ids=["shorter", "a byte more", "longer", "nothing", "another file"],
)
def test_a_size_is_proven_before_it_counts(rig: Rig, evil: Holder) -> None:
    asked = f"{10 * STEP}-{10 * STEP + 9}"
    with Fake(evil, name="evil") as fake, pytest.raises(IntegrityError):
        get(rig, asked, fake)
    assert not rig.finished
    good = honest(TRUTH)
    good.hesitates = 0.05
    with Fake(evil, name="evil") as fake, Fake(good) as other:
        get(rig, asked, fake, other)
    assert content(rig) == TRUTH[10 * STEP : 10 * STEP + 10]


def test_a_lone_liar_is_caught_only_where_its_lie_is_fetched(rig: Rig) -> None:
    """What the words "under the chain that its holders vouch for" are there for."""
    evil = rejoins(TRUTH, 9)
    with Fake(evil) as fake:
        received = get(rig, "0-9", fake)
        assert content(rig) == evil.content[:10] != TRUTH[:10]
        assert not received.by_digest
        rig.name = "more"
        with pytest.raises(IntegrityError):
            get(rig, f"0-{9 * STEP}", fake)
        rig.part(DIGEST).unlink()


# Without a chain.


def test_without_a_chain_the_whole_file_is_fetched_and_verified_before_it_is_cut(rig: Rig) -> None:
    with Fake(Holder(TRUTH)) as fake:
        received = get(rig, "5-9", fake)
    assert content(rig) == TRUTH[5:10]
    assert received.by_digest
    assert received.received == SIZE
    assert os.listdir(rig.folder) == ["file"]  # noqa: PTH208
    rig.name = "other"
    with Fake(Holder(TRUTH[:-1], DIGEST)) as fake, pytest.raises(IntegrityError):
        get(rig, "5-9", fake)


def test_without_a_library_for_chains_it_is_the_same(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sha1, "available", lambda: False)
    with Fake(honest(TRUTH)) as fake:
        assert get(rig, "-7", fake).by_digest
    assert content(rig) == TRUTH[-7:]


# Broken off, and what others have left.


def broken_off(rig: Rig, asked: ByteRange, segments: int) -> None:
    """One run that is stopped when so many segments are here."""
    run = Rig(rig.folder, asked=asked, seconds=20.0)
    enough = threading.Event()

    def progress(done: int, _: int) -> None:
        if done >= segments * STEP:
            enough.set()

    def stop() -> None:
        enough.wait(20.0)
        run.stop.set()

    run.watcher.progress = progress  # type: ignore[method-assign, assignment]
    stopper = threading.Thread(target=stop)
    stopper.start()
    with Fake(slow(TRUTH, 300_000)) as fake, pytest.raises(StoppedError):
        run.get(DIGEST, fake.peer)
    stopper.join()
    assert rig.part(DIGEST).exists()


def test_what_was_broken_off_goes_on(rig: Rig) -> None:
    asked = f"{2 * STEP}-{10 * STEP - 1}"
    broken_off(rig, ByteRange.parse(asked), 3)
    with Fake(honest(TRUTH)) as fake:
        received = get(rig, asked, fake)
    assert content(rig) == TRUTH[2 * STEP : 10 * STEP]
    assert received.resumed >= 3 * STEP
    assert received.resumed + received.received == 8 * STEP + 1000
    assert os.listdir(rig.folder) == ["file"]  # noqa: PTH208


def test_the_whole_goes_on_with_what_a_range_has_left(rig: Rig) -> None:
    broken_off(rig, ByteRange.parse(f"{2 * STEP}-{10 * STEP - 1}"), 3)
    with Fake(honest(TRUTH)) as fake:
        _, received = rig.get(DIGEST, fake.peer)
    assert content(rig) == TRUTH
    assert received.resumed >= 3 * STEP
    assert received.resumed + received.received == SIZE
    assert os.listdir(rig.folder) == ["file"]  # noqa: PTH208


def test_a_range_takes_what_an_unfinished_whole_has_and_leaves_it_there(rig: Rig) -> None:
    broken_off(rig, WHOLE, 5)
    rig.name = "range"
    holder = honest(TRUTH)
    with Fake(holder) as fake:
        received = get(rig, f"{STEP}-{2 * STEP + 9}", fake)
        assert content(rig) == TRUTH[STEP : 2 * STEP + 10]
        assert read(holder) == []
        assert (received.resumed, received.received) == (2 * STEP + 1000, 0)
        rig.asked, rig.name = WHOLE, "whole"
        _, received = rig.get(DIGEST, fake.peer)
    assert content(rig) == TRUTH
    assert received.resumed >= 5 * STEP
    assert rig.finished == {"range", "whole"} == {path.name for path in rig.folder.iterdir()}


def test_a_range_and_the_whole_do_not_run_at_once_in_one_folder(rig: Rig) -> None:
    folder = os.open(rig.folder, os.O_RDONLY)
    with PartFile(folder, DIGEST), pytest.raises(BusyError), Fake(honest(TRUTH)) as fake:
        get(rig, "0-9", fake)
    os.close(folder)


def test_what_a_kill_has_left_of_the_cut_is_written_over(rig: Rig) -> None:
    (rig.folder / f".{DIGEST}{CUT_SUFFIX}").write_bytes(b"left" * 1000)
    with Fake(honest(TRUTH)) as fake:
        get(rig, "5-14", fake)
    assert content(rig) == TRUTH[5:15]
    assert os.listdir(rig.folder) == ["file"]  # noqa: PTH208


def test_what_a_kill_has_left_of_the_cut_is_swept_when_the_whole_is_there(rig: Rig) -> None:
    (rig.folder / "file").write_bytes(TRUTH)
    (rig.folder / f".{DIGEST}{CUT_SUFFIX}").write_bytes(b"left")
    assert rig.get(DIGEST)[0] is Verdict.PRESENT
    assert os.listdir(rig.folder) == ["file"]  # noqa: PTH208


# The target.


@pytest.mark.parametrize("there", [b"mine", TRUTH, TRUTH[:10]])
@pytest.mark.parametrize(
    ("if_exists", "finished"),
    [
        (IfExists.FAIL, {"file"}),
        (IfExists.SKIP, {"file"}),
        (IfExists.OVERWRITE, {"file"}),
        (IfExists.RENAME, {"file", "file (2)"}),
    ],
)
def test_whatever_is_there_counts_as_other_content(
    rig: Rig, there: bytes, if_exists: IfExists, finished: set[str]
) -> None:
    (rig.folder / "file").write_bytes(there)
    rig.if_exists, rig.asked = if_exists, ByteRange.parse("0-9")
    with Fake(honest(TRUTH)) as fake:
        if if_exists is IfExists.FAIL:
            with pytest.raises(ExistsError, match=r"exists$"):
                rig.get(DIGEST, fake.peer)
        else:
            verdict, _ = rig.get(DIGEST, fake.peer)
            assert (verdict is Verdict.SKIPPED) == (if_exists is IfExists.SKIP)
    assert rig.finished == finished
    overwritten = if_exists is IfExists.OVERWRITE
    assert (rig.folder / "file").read_bytes() == (TRUTH[:10] if overwritten else there)
    if if_exists is IfExists.RENAME:
        assert (rig.folder / "file (2)").read_bytes() == TRUTH[:10]


@pytest.mark.leaves_part_file
def test_a_name_that_is_taken_meanwhile_is_left_alone_and_the_bytes_are_kept(rig: Rig) -> None:
    class Taking(Holder):
        def __call__(self, line: Line) -> None:
            (rig.folder / "file").write_bytes(b"mine")
            super().__call__(line)

    with Fake(Taking(TRUTH, chain=chain_of(TRUTH))) as fake, pytest.raises(ExistsError):
        get(rig, "0-9", fake)
    assert (rig.folder / "file").read_bytes() == b"mine"
    assert not list(rig.folder.glob(f"*{CUT_SUFFIX}"))
    rig.if_exists = IfExists.OVERWRITE
    with Fake(honest(TRUTH)) as fake:
        assert get(rig, "0-9", fake).received == 0
    assert content(rig) == TRUTH[:10]


def test_a_disk_that_is_full_when_it_is_cut_out_loses_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PartFile.write

    def full(part: PartFile, data: memoryview, offset: int) -> None:
        real(part, data[:5], offset)
        raise LocalIOError("cannot write: no space left on device")

    with Fake(honest(TRUTH)) as fake:
        with monkeypatch.context() as patch:
            patch.setattr(PartFile, "write", full)
            patch.setattr(Landing, "put", put_with(real))
            with pytest.raises(LocalIOError):
                get(rig, "0-9", fake)
        assert not rig.finished
        assert not list(rig.folder.glob(f"*{CUT_SUFFIX}"))
        assert get(rig, "0-9", fake).received == 0
    assert content(rig) == TRUTH[:10]


def put_with(write: Callable[[PartFile, memoryview, int], None]) -> Callable[..., None]:
    """``Landing.put`` on a disk that has room for it."""
    real = Landing.put

    def put(landing: Landing, chain: Chain, index: int, data: memoryview) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PartFile, "write", write)
            real(landing, chain, index, data)

    return put
