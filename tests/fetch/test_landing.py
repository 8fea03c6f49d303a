import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chains import chain_of, false_chain, small_segments, some_data

from pirate.byterange import WHOLE, ByteRange
from pirate.chain import Chain, Link
from pirate.disk import journal as journal_module
from pirate.disk.partfile import PartFile
from pirate.errors import LocalIOError, StoppedError
from pirate.fetch.landing import Landing

DATA = some_data(1000)


def never() -> bool:
    return False


class Runs:
    """One download after another, into one folder; each ends as abruptly as a kill."""

    def __init__(self, path: Path, chain: Chain) -> None:
        self.chain = chain
        self.part = path / f".{chain.digest}.pirate-part"
        self.journal = path / f".{chain.digest}.pirate-journal"
        self.folder = os.open(path, os.O_RDONLY)
        self._files = ExitStack()

    def close(self) -> None:
        self._files.close()
        os.close(self.folder)
        self.part.unlink(missing_ok=True)

    def start(self, asked: ByteRange = WHOLE) -> Landing:
        self._files.close()
        part = self._files.enter_context(PartFile(self.folder, self.chain.digest))
        return Landing(part, self._files.enter_context(part.journal()), asked)

    def again(self, chain: Chain | None = None) -> dict[int, Link]:
        """What the next run finds."""
        return self.start().recover(chain or self.chain, never)

    def fetch(self, *indices: int, asked: ByteRange = WHOLE) -> None:
        """One run that lands some segments."""
        landing = self.start(asked)
        landing.recover(self.chain, never)
        for index in indices:
            landing.put(self.chain, index, segment(self.chain, index))

    def links(self, *indices: int) -> dict[int, Link]:
        return {index: self.chain.link(index) for index in indices}


def segment(chain: Chain, index: int, data: bytes = DATA) -> memoryview:
    start = chain.start(index)
    return memoryview(bytearray(data[start : start + chain.length(index)]))


@pytest.fixture(name="runs")
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    small_segments(monkeypatch)
    runs = Runs(tmp_path, chain_of(DATA))
    yield runs
    runs.close()


@pytest.fixture(name="last")
def _last(runs: Runs) -> int:
    assert runs.chain.count == 8
    return runs.chain.count - 1


def reboot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "boot_id", lambda: bytes(16))


def damage(runs: Runs, index: int) -> None:
    with runs.part.open("r+b") as file:
        file.seek(runs.chain.start(index) + 1)
        file.write(b"?!")


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    reads: list[int] = []
    real = PartFile.read_into

    def counting(part: PartFile, view: memoryview, offset: int) -> None:
        reads.append(offset)
        real(part, view, offset)

    monkeypatch.setattr(PartFile, "read_into", counting)
    return reads


# The ordinary way.


def test_segments_that_have_landed_are_the_file(runs: Runs, last: int) -> None:
    runs.fetch(last, *range(last))
    assert runs.part.read_bytes() == DATA
    assert runs.again() == runs.links(*range(runs.chain.count))


def test_a_new_download_has_nothing_and_leaves_nothing_if_nothing_comes(runs: Runs) -> None:
    assert runs.again() == {}
    runs._files.close()
    assert not runs.part.exists()
    assert not runs.journal.exists()


def test_within_one_boot_nothing_is_read_again(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.fetch(last, 0)
    runs.fetch(5)
    reads = count_reads(monkeypatch)
    assert runs.again() == runs.links(last, 0, 5)
    assert reads == []


def test_room_is_made_with_the_last_segment_and_no_other(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved: list[tuple[int, ...]] = []
    monkeypatch.setattr(PartFile, "reserve", lambda _, *where: reserved.append(where))
    runs.fetch(last, 0, 1)
    assert reserved == [(len(DATA), 0, len(DATA))]


def test_room_is_made_for_a_range_and_for_all_when_all_is_asked_for(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved: list[tuple[int, ...]] = []
    reserve = PartFile.reserve

    def noting(part: PartFile, *where: int) -> None:
        reserved.append(where)
        reserve(part, *where)

    monkeypatch.setattr(PartFile, "reserve", noting)
    runs.fetch(last, 2, asked=ByteRange(300, 500))
    monkeypatch.setattr(PartFile, "allocated", 512)
    assert runs.again() == runs.links(last, 2)
    step = runs.chain.segment
    assert reserved == [(len(DATA), 300 // step * step, 4 * step), (len(DATA), 0, len(DATA))]


def test_what_lies_behind_the_end_from_before_is_cut_off(runs: Runs) -> None:
    """As a holder without a chain leaves it that lies about the size."""
    runs.part.write_bytes(DATA + b"no part of it")
    assert runs.again() == runs.links(*range(runs.chain.count))
    assert runs.part.read_bytes() == DATA


@pytest.mark.parametrize(("there", "more"), [((), False), ((2,), False), ((2, 5), True)])
def test_it_is_known_whether_an_earlier_run_has_left_more_than_is_asked_for(
    runs: Runs, last: int, there: tuple[int, ...], *, more: bool
) -> None:
    runs.fetch(last, *there)
    landing = runs.start(ByteRange(300, 350))
    landing.recover(runs.chain, lambda: False)
    assert landing.more == more


def test_a_chain_is_closed_when_all_of_it_is_here_and_leads_to_the_digest(
    runs: Runs, last: int
) -> None:
    landing = runs.start()
    landing.recover(runs.chain, lambda: False)
    for index in (last, *range(last)):
        assert not landing.closed(runs.chain.digest)
        landing.put(runs.chain, index, segment(runs.chain, index))
    assert landing.closed(runs.chain.digest)
    assert not landing.closed(false_chain(runs.chain, {1}).name)


# After trouble.


def test_after_a_restart_what_is_corrupt_is_dropped_and_the_rest_is_kept(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.fetch(last, 0, 1, 2)
    damage(runs, 1)
    reboot(monkeypatch)
    assert runs.again() == runs.links(last, 0, 2)
    runs.fetch(3)
    reads = count_reads(monkeypatch)
    assert runs.again() == runs.links(last, 0, 2, 3)
    assert reads == [], "the journal is of this boot now"


def test_after_a_restart_the_journal_is_checked_even_if_a_liar_comes_first(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.fetch(last, 0, 1)
    reboot(monkeypatch)
    assert runs.again(false_chain(runs.chain, {1, 2, 3})) == runs.links(last, 0, 1)


@pytest.mark.parametrize("journal", [True, False])
def test_a_stop_ends_the_hashing_within_a_segment_and_costs_nothing(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch, *, journal: bool
) -> None:
    runs.fetch(last, 0, 1, 2, 3)
    if journal:
        reboot(monkeypatch)
    else:
        runs.journal.write_bytes(b"damaged")
    reads = count_reads(monkeypatch)
    with pytest.raises(StoppedError):
        runs.start().recover(runs.chain, lambda: len(reads) == 2)
    assert len(reads) == 2
    assert runs.again() == runs.links(last, 0, 1, 2, 3)


def test_without_a_journal_everything_is_hashed(runs: Runs, last: int) -> None:
    runs.fetch(last, 0, 1)
    runs.journal.write_bytes(b"damaged")
    assert runs.again() == runs.links(last, 0, 1)


def test_a_part_file_that_was_cut_is_hashed_as_far_as_it_goes(runs: Runs, last: int) -> None:
    runs.fetch(last, 0, 1, 4)
    damage(runs, 1)
    os.truncate(runs.part, runs.chain.start(4) + 1)
    assert runs.again() == runs.links(0)
    runs.fetch(last)
    assert runs.again() == runs.links(0, last)


def test_a_part_file_that_was_made_anew_is_not_taken_for_the_old_one(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems give the number of a deleted file to the next one."""
    runs.fetch(last, *range(last))
    inode = runs.part.stat().st_ino
    runs._files.close()
    runs.part.unlink()
    monkeypatch.setattr(
        PartFile,
        "journal",
        lambda part: journal_module.Journal(part._folder, part._digest, inode),
    )
    runs.fetch(last)
    assert runs.part.stat().st_size == len(DATA)
    assert runs.again() == runs.links(last)


def test_bytes_that_are_being_written_over_are_not_believed(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the bytes of one chain and their record must not leave another's."""
    false = false_chain(runs.chain, {3})
    runs.fetch(last, 1, 2)

    def killed(*_: object) -> None:
        damage(runs, 2)
        raise KeyboardInterrupt

    landing = runs.start()
    landing.recover(false, never)
    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            landing.put(false, 2, segment(false, 2))
    assert runs.again() == runs.links(last, 1)


def test_what_is_written_over_belongs_to_the_last_writer(runs: Runs, last: int) -> None:
    false = false_chain(runs.chain, {3})
    runs.fetch(last, 2)
    landing = runs.start()
    landing.recover(false, never)
    landing.put(false, 2, segment(false, 2))
    assert runs.again() == {**runs.links(last), 2: false.link(2)}


# Sizes.


@pytest.mark.parametrize("size", [999, 1001, 400, 4000])
def test_a_size_that_is_a_lie_costs_the_true_one_nothing(runs: Runs, last: int, size: int) -> None:
    runs.fetch(last, 0, 1)
    before = runs.part.read_bytes()
    lie = chain_of(some_data(size, seed=1))
    lie = Chain(runs.chain.digest, size, lie.states)
    landing = runs.start()
    assert landing.recover(lie, never) == runs.links(last, 0, 1)
    for index in range(lie.count - 1):
        with pytest.raises(ValueError, match="nothing has proven"):
            landing.put(lie, index, segment(lie, index, some_data(size, seed=1)))
    assert runs.part.read_bytes() == before
    assert runs.again() == runs.links(last, 0, 1)


def test_a_size_that_is_proven_takes_the_place_of_another(runs: Runs, last: int) -> None:
    data = some_data(400, seed=1)
    other = chain_of(data)
    other = Chain(runs.chain.digest, other.size, other.states)
    runs.fetch(last, 0, 1)
    landing = runs.start()
    landing.recover(runs.chain, never)
    for index in (other.count - 1, *range(other.count - 1)):
        landing.put(other, index, segment(other, index, data))
    assert runs.part.read_bytes() == data
    assert runs.again(other) == {index: other.link(index) for index in range(other.count)}


# A full disk.


def test_a_disk_too_full_says_so_with_the_last_segment_and_is_healed(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(LocalIOError, match="no space for 1000 bytes"):
            runs.fetch(last)
    assert runs.again() == {}
    runs.fetch(last, *range(last))
    assert runs.part.read_bytes() == DATA


def test_what_could_not_be_written_is_not_in_the_journal(
    runs: Runs, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.fetch(last, 0)
    real, room = os.pwrite, [70]

    def filling(file: int, data: bytes, offset: int) -> int:
        count = real(file, data[: room[0]], offset) if room[0] else 0
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling)
        with pytest.raises(LocalIOError, match="cannot write"):
            runs.fetch(1)
    assert runs.again() == runs.links(last, 0)
