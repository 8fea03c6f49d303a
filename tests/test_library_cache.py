"""A library with a hash cache: what is not read again, and what goes wrong without harm (P17)."""

import logging
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from honest import digest_of, some_bytes
from shelf import Shelf, note_reads

from pirate import library as library_module
from pirate import scanning
from pirate.disk import hashcache, hashfile, hashing, hashrows
from pirate.disk.hashing import Hashed
from pirate.model import Digest
from pirate.scope import Stop

ROUNDS = 200


@pytest.fixture(name="state")
def _state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(name="read")
def _read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the name of every file that is read; files that tests write count as old."""
    names = note_reads(monkeypatch)
    monkeypatch.setattr(hashing, "YOUNG_NS", -(10**12))
    return names


@pytest.fixture(name="_generations")
def _with_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have inodes tell their generation, which tmpfs does not."""
    monkeypatch.setattr(hashing, "generation", lambda _: 7)
    monkeypatch.setattr(scanning, "generation_of", lambda *_: 7)


def filled(share: Path) -> dict[str, bytes]:
    contents = {f"folder/{n}": some_bytes(n * 30_000, n) for n in range(5)}
    (share / "folder").mkdir()
    for name, content in contents.items():
        (share / name).write_bytes(content)
    return contents


def rewrite(path: Path, content: bytes) -> None:
    """Write a file so that its ctime tells: not within the tick of the kernel's clock."""
    before = path.stat().st_ctime_ns if path.exists() else 0
    while True:
        path.write_bytes(content)
        if path.stat().st_ctime_ns != before:
            return


def test_a_second_start_reads_nothing_and_gives_the_same(
    share: Path, state: Path, read: list[str]
) -> None:
    filled(share)
    first = Shelf(share, state=state)
    listed = first.scan()
    assert len(read) == 5
    read.clear()
    second = Shelf(share, state=state)
    assert second.scan() == listed
    assert read == []
    for digest in listed:
        assert digest_of(second.content(digest)) == digest
        assert second.library.chain(digest) == first.library.chain(digest)


def moved_folder(share: Path) -> None:
    (share / "folder").rename(share / "moved")


def moved_files(share: Path) -> None:
    (share / "other").mkdir()
    for path in (share / "folder").iterdir():
        path.rename(share / "other" / path.name)


def renamed_files(share: Path) -> None:
    for path in (share / "folder").iterdir():
        path.rename(path.with_suffix(".renamed"))


@pytest.mark.usefixtures("_generations")
@pytest.mark.parametrize("move", [moved_folder, moved_files, renamed_files])
@pytest.mark.parametrize("restart", [False, True])
def test_what_is_moved_is_not_read_again(
    share: Path, state: Path, read: list[str], move: Callable[[Path], None], *, restart: bool
) -> None:
    filled(share)
    shelf = Shelf(share, state=state)
    before = shelf.scan()
    read.clear()
    move(share)
    if restart:
        shelf = Shelf(share, state=state)
    after = shelf.scan()
    assert read == []
    assert after.keys() == before.keys()
    assert after != before


@pytest.mark.usefixtures("_generations")
@pytest.mark.parametrize("restart", [False, True])
def test_what_is_written_in_place_is_read_even_if_its_mtime_is_set_back(
    share: Path, state: Path, read: list[str], *, restart: bool
) -> None:
    (share / "file").write_bytes(b"one")
    shelf = Shelf(share, state=state)
    shelf.scan()
    status = (share / "file").stat()
    rewrite(share / "file", b"two")
    os.utime(share / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
    read.clear()
    if restart:
        shelf = Shelf(share, state=state)
    assert shelf.scan().keys() == {digest_of(b"two")}
    assert read == ["file"]


def test_what_is_hashed_before_a_stop_is_not_read_again(
    share: Path, state: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(share)
    monkeypatch.setattr(hashing, "_BATCH_FILES", 1)
    shelf = Shelf(share, state=state)
    shelf.library._scanner._threads = 1
    stop = Stop()
    real = shelf.library._cache.keep

    def stopping(hashed: Hashed, label: int = 0) -> None:
        real(hashed, label)
        stop.set()

    monkeypatch.setattr(shelf.library._cache, "keep", stopping)
    shelf.library.scan(stop)
    done = set(read)
    read.clear()
    Shelf(share, state=state).scan()
    assert len(read) < 5
    assert done | set(read) == {f"folder/{n}" for n in range(5)}


def test_what_is_hashed_goes_into_the_cache_between_two_publishings(
    share: Path, state: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(share)
    monkeypatch.setattr(hashing, "_BATCH_FILES", 1)
    monkeypatch.setattr(library_module, "FLUSH_SECONDS", -1.0)
    monkeypatch.setattr(hashcache, "_WAITING", 1)
    Shelf(share, state=state).scan()
    assert len(read) == 5
    Shelf(share, state=state).scan()
    assert len(read) == 5


# P17: anything may happen to the cache at any time.


class Trouble:
    """Does something bad to a cache, and undoes what would last."""

    def __init__(self, file: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.file = file
        self.journal = file.with_name(f"{file.name}-journal")
        self.lasting = ExitStack()

    def strike(self) -> None:
        self.lasting.close()
        if self.file.is_file():
            kinds = (self.flip, self.flip, self.truncate, self.extend, self.delete, self.swap)
            self.random.choice((*kinds, self.folder, self.lock, self.junk))()

    def flip(self) -> None:
        content = bytearray(self.file.read_bytes())
        for _ in range(self.random.choice((1, 10, 1000)) if content else 0):
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
        self.file.write_bytes(content)

    def truncate(self) -> None:
        os.truncate(self.file, self.random.randrange(self.file.stat().st_size + 1))

    def extend(self) -> None:
        with self.file.open("ab") as file:
            file.write(self.random.randbytes(self.random.randrange(20_000)))

    def delete(self) -> None:
        self.file.unlink()

    def folder(self) -> None:
        self.delete()
        self.file.mkdir()
        self.lasting.callback(self.file.rmdir)

    def junk(self) -> None:
        """A journal that looks as if somebody had died in the middle of a transaction."""
        head = bytes.fromhex("d9d505f920a163d7") + self.random.randbytes(20)
        self.journal.write_bytes(head.ljust(512, b"\0") + self.random.randbytes(9000))

    def lock(self) -> None:
        connection = self.lasting.enter_context(
            closing(sqlite3.connect(self.file, isolation_level=None))
        )
        try:
            connection.execute("begin exclusive")
        except sqlite3.Error:  # damaged already
            self.lasting.close()

    def swap(self) -> None:
        """Give every file the row of another."""
        try:
            with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
                rows = connection.execute("select block, rows from blocks").fetchall()
                for (block, _), (_, row) in zip(rows, rows[1:] + rows[:1], strict=True):
                    connection.execute("update blocks set rows = ? where block = ?", (row, block))
        except sqlite3.Error:
            pass


def changed(share: Path, chance: random.Random) -> set[Digest]:
    """Write some files anew, and give all digests that there are then."""
    for number in range(12):
        path = share / str(number)
        if not path.exists() or chance.random() < 0.2:
            rewrite(path, chance.randbytes(chance.choice((10, 10, 100_000))))
    return {digest_of(path.read_bytes()) for path in share.iterdir()}


@pytest.fixture(name="_impatient")
def _with_little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashcache, "READ_PATIENCE", 0.001)
    monkeypatch.setattr(hashcache, "WRITE_PATIENCE", 0.001)


@pytest.mark.usefixtures("_impatient", "_generations")
def test_whatever_happens_to_the_cache_no_digest_is_wrong(
    share: Path,
    state: Path,
    read: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    trouble = Trouble(state / hashfile.NAME, 17)
    # It strikes between scans and within them: before the cache is opened and once it is.
    real = hashfile._opened

    def troubled(path: str, patience: float) -> Iterator[sqlite3.Connection]:
        if trouble.random.random() < 0.2:
            trouble.strike()
        with real(path, patience) as connection:
            if trouble.random.random() < 0.2:
                trouble.strike()
            yield connection

    monkeypatch.setattr(hashfile, "_opened", contextmanager(troubled))
    saved = 0
    with trouble.lasting:
        shelf = Shelf(share, state=state)
        for number in range(ROUNDS):
            truth = changed(share, trouble.random)
            if number % 3:
                shelf = Shelf(share, state=state)
            read.clear()
            assert shelf.scan().keys() == truth
            saved += len(read) < len(truth)
            trouble.strike()
            shelf.library._cache.prune()
    assert saved > ROUNDS // 10
    unusable = [each for each in caplog.records if "nothing is remembered" in each.message]
    assert len(unusable) <= ROUNDS


@pytest.mark.usefixtures("_impatient", "_generations", "read")
def test_without_the_checksum_digests_would_be_wrong(
    share: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashrows, "_check", lambda *_: bytes(8))
    trouble = Trouble(state / hashfile.NAME, 17)
    wrong = 0
    truth = changed(share, trouble.random)
    for _ in range(ROUNDS):
        wrong += Shelf(share, state=state).scan().keys() != truth
        trouble.flip()
    assert wrong
