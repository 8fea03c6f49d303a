import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from chains import invented_chain

from pirate.chain import Link
from pirate.disk import journal as journal_module
from pirate.disk.journal import Journal, boot_id
from pirate.errors import LocalIOError
from pirate.model import Digest

CHAIN = invented_chain(9)
SIZE = CHAIN.size
LINKS = {index: CHAIN.link(index) for index in range(CHAIN.count)}
INODE = 42


class Shelf:
    """A folder with the journal of one digest."""

    def __init__(self, path: Path) -> None:
        self.path = path / f".{CHAIN.digest}.pirate-journal"
        self.folder = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        os.close(self.folder)

    def open(self, inode: int = INODE, digest: Digest = CHAIN.digest) -> Journal:
        return Journal(self.folder, digest, inode)

    def read(self) -> dict[int, Link] | None:
        """What the next run finds."""
        with self.open() as journal:
            kept = journal.read()
        return kept.links if kept else None

    def write(self, *indices: int) -> bytes:
        with self.open() as journal:
            journal.begin(SIZE, {})
            for index in indices:
                journal.note(index, LINKS[index])
        return self.path.read_bytes()


@pytest.fixture(name="shelf")
def _shelf(tmp_path: Path) -> Iterator[Shelf]:
    with closing(Shelf(tmp_path)) as shelf:
        yield shelf


def test_what_is_noted_is_read_by_the_next(shelf: Shelf) -> None:
    shelf.write(8, 0, 3)
    with shelf.open() as journal:
        kept = journal.read()
    assert kept == (SIZE, {8: LINKS[8], 0: LINKS[0], 3: LINKS[3]}, True)
    assert list(kept.links) == [8, 0, 3]


def test_a_journal_that_nothing_was_written_to_leaves_nothing(shelf: Shelf) -> None:
    with shelf.open() as journal:
        assert journal.read() is None
        assert shelf.path.exists()
    assert not shelf.path.exists()


def test_the_journal_is_removed_when_the_file_is_whole(shelf: Shelf) -> None:
    shelf.write(1)
    with shelf.open() as journal:
        journal.remove()
        journal.remove()
    assert not shelf.path.exists()


def test_a_later_record_replaces_an_earlier_one_and_forgetting_takes_it_back(shelf: Shelf) -> None:
    shelf.write(1, 2, 3)
    with shelf.open() as journal:
        assert journal.read()
        other = Link(bytes(range(20)), LINKS[1].after, SIZE)
        journal.note(1, other)
        journal.forget(2)
        journal.forget(7)
        journal.forget(3)
        journal.note(3, LINKS[3])
    assert shelf.read() == {1: other, 3: LINKS[3]}


def test_to_begin_is_to_forget_all_but_what_is_given(shelf: Shelf) -> None:
    shelf.write(*LINKS)
    with shelf.open() as journal:
        journal.begin(7, {5: LINKS[5]})
        journal.note(6, LINKS[6])
    with shelf.open() as journal:
        kept = journal.read()
    assert kept
    assert kept.size == 7
    assert {i: (link.before, link.after) for i, link in kept.links.items()} == {
        i: (LINKS[i].before, LINKS[i].after) for i in (5, 6)
    }


# A kill, and worse.


def test_a_torn_tail_is_cut_wherever_it_is_torn_and_what_precedes_it_is_kept(shelf: Shelf) -> None:
    whole = shelf.write(8, 0, 1, 2)
    head = len(shelf.write())
    record = (len(whole) - head) // 4
    for length in range(len(whole) + 1):
        shelf.path.write_bytes(whole[:length])
        links = shelf.read()
        if length < head:
            assert links is None
            continue
        kept = [8, 0, 1, 2][: (length - head) // record]
        assert links == {index: LINKS[index] for index in kept}
        assert shelf.path.stat().st_size == head + record * len(kept)


def test_after_a_torn_tail_it_goes_on_as_if_nothing_had_been(shelf: Shelf) -> None:
    whole = shelf.write(8, 0)
    shelf.path.write_bytes(whole[:-1])
    with shelf.open() as journal:
        assert journal.read()
        journal.note(5, LINKS[5])
    assert shelf.read() == {8: LINKS[8], 5: LINKS[5]}


def test_a_kill_while_it_begins_leaves_no_half_of_a_journal(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one would be believed, and what it lacks fetched again."""
    real = os.pwrite
    for stop in range(1, 55, 3):
        shelf.write(4)
        done = 0

        def killed(file: int, data: bytes, offset: int, stop: int = stop) -> int:
            nonlocal done
            done += 1
            if done > stop:
                raise OSError("killed")
            return real(file, data[:9], offset)

        with shelf.open() as journal, monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", killed)
            with pytest.raises(LocalIOError):
                journal.begin(SIZE, LINKS)
        assert shelf.read() is None


def test_every_flipped_byte_costs_what_follows_it_and_nothing_else(shelf: Shelf) -> None:
    whole = shelf.write(8, 0, 1)
    head = len(shelf.write())
    record = (len(whole) - head) // 3
    for at in range(len(whole)):
        shelf.path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        if at < head:
            assert shelf.read() is None
        else:
            kept = [8, 0, 1][: (at - head) // record]
            assert shelf.read() == {index: LINKS[index] for index in kept}


def test_damage_at_random_raises_nothing_and_proves_nothing(shelf: Shelf) -> None:
    rng = Random(3)
    whole = shelf.write(8, 0, 1, 2)
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        del data[rng.choice((len(data), rng.randrange(len(data)))) :]
        shelf.path.write_bytes(data)
        assert (shelf.read() or {}).items() <= LINKS.items()


# Whose it is.


def test_a_journal_of_another_part_file_or_another_digest_is_none(shelf: Shelf) -> None:
    data = shelf.write(1)
    with shelf.open(inode=INODE + 1) as journal:
        assert journal.read() is None
    other = Digest(bytes(20))
    shelf.path.with_name(f".{other}.pirate-journal").write_bytes(data)
    with shelf.open(digest=other) as journal:
        assert journal.read() is None
        journal.remove()


def test_after_a_restart_of_the_machine_it_is_not_certain(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.write(1)
    monkeypatch.setattr(journal_module, "boot_id", lambda: bytes(16))
    with shelf.open() as journal:
        assert journal.read() == (SIZE, {1: LINKS[1]}, False)


def test_the_id_of_this_boot_stays_the_same_and_without_one_nothing_is_certain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 16
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "no boot id\n")
    assert boot_id() != boot_id()
    assert len(boot_id()) == 16


@pytest.mark.parametrize("what", ["symlink", "hard link", "folder", "fifo"])
def test_what_somebody_has_put_in_its_place_is_left_alone(shelf: Shelf, what: str) -> None:
    mine = shelf.path.with_name("mine")
    mine.write_bytes(b"precious")
    match what:
        case "symlink":
            shelf.path.symlink_to(mine)
        case "hard link":
            shelf.path.hardlink_to(mine)
        case "folder":
            shelf.path.mkdir()
        case "fifo":
            os.mkfifo(shelf.path)
    with pytest.raises(LocalIOError, match="cannot write"):
        shelf.open()
    assert mine.read_bytes() == b"precious"


def test_a_journal_without_end_is_not_read_without_end(shelf: Shelf) -> None:
    data = shelf.write(1, 2)
    with shelf.path.open("r+b") as file:
        file.truncate(2**40)
    assert shelf.read() == {1: LINKS[1], 2: LINKS[2]}
    assert shelf.path.stat().st_size == len(data)


def test_a_full_disk_is_a_local_error(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    with shelf.open() as journal:
        journal.begin(SIZE, {})
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", _full)
            with pytest.raises(LocalIOError, match="no space left"):
                journal.note(1, LINKS[1])


def _full(*_: object) -> int:
    raise OSError(28, os.strerror(28))
