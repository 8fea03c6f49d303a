"""A cache of digests that may be deleted, damaged, locked or unwritable at any time."""

import logging
import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from honest import QUICK, some_bytes

from pirate.chain import LEAST_SEGMENT
from pirate.disk import hashcache, hashfile, hashing
from pirate.disk.hashcache import KEPT_DAYS, NOTED_DAYS, Asked, HashCache
from pirate.disk.hashing import Hashed, Job, hash_one
from pirate.disk.place import Identity
from pirate.disk.state import State
from pirate.disk.tree import Found
from pirate.model import Digest
from pirate.scope import Stop

DAY = 86_400.0
IDENTITY = Identity(2049, 12, 100, 10**18, 2 * 10**18 // 3)
HASHED = Hashed(Digest(bytes(range(20))), b"", IDENTITY, settled=True, generation=7)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """Give a state folder that is not there yet."""
    return tmp_path / "state"


@pytest.fixture(name="file")
def _file(folder: Path) -> Path:
    return folder / hashfile.NAME


@pytest.fixture(name="cache")
def _cache(folder: Path) -> HashCache:
    return HashCache(State(str(folder)))


def named(identity: Identity, name: int) -> Found:
    """A file that has the name of a number, or several if that is 0."""
    return Found((str(name),), identity, folder=1, links=1 if name else 2)


def keep(cache: HashCache, *several: Hashed, name: int = 0) -> None:
    for hashed in several:
        cache.keep(hashed, named(hashed.identity, name).label)
    cache.flush()


def find(
    cache: HashCache, identity: Identity = IDENTITY, name: int = 0, generation: int = 7
) -> Hashed | None:
    asked = Asked([identity], lambda _: named(identity, name).label, lambda _: generation)
    hashed = cache.find(asked, Stop()).hashed(0, identity)
    return hashed and hashed._replace(generation=generation)  # it is only compared


def find_all(cache: HashCache, *several: Hashed) -> list[Hashed | None]:
    identities = [hashed.identity for hashed in several]
    known = cache.find(Asked(identities, lambda _: 1), Stop())
    found = [known.hashed(at, identity) for at, identity in enumerate(identities)]
    return [hashed and hashed._replace(generation=7) for hashed in found]


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def test_what_was_kept_is_found_by_the_next_process(cache: HashCache, folder: Path) -> None:
    assert find(cache) is None
    keep(cache, HASHED)
    assert find(HashCache(State(str(folder)))) == HASHED


def test_a_file_is_found_with_its_chain(cache: HashCache, share: Path) -> None:
    (share / "file").write_bytes(some_bytes(5 * LEAST_SEGMENT))
    os.utime(share / "file", ns=(0, 0))
    hashed = hash_one(Job(str(share), ("file",), 0), Stop())
    assert hashed
    assert hashed.states
    hashed = hashed._replace(settled=True, generation=7)
    keep(cache, hashed)
    assert find(cache, hashed.identity) == hashed
    keep(cache, hashed._replace(states=hashed.states[20:]))
    assert find(cache, hashed.identity) is None


@pytest.mark.parametrize("field", Identity._fields)
def test_a_file_that_differs_in_anything_is_not_found(cache: HashCache, field: str) -> None:
    keep(cache, HASHED, name=1)
    other = IDENTITY._replace(**{field: getattr(IDENTITY, field) + 1})
    assert find(cache, other, name=1) is None
    assert find(cache) == HASHED


def test_a_young_file_is_not_kept(cache: HashCache) -> None:
    keep(cache, HASHED._replace(settled=False))
    assert find(cache) is None


def test_many_files_are_found_in_the_order_they_were_asked_for(cache: HashCache) -> None:
    several = [
        HASHED._replace(identity=IDENTITY._replace(inode=number, device=number % 3))
        for number in range(3000)
    ]
    keep(cache, *several[::2], name=1)
    wanted = [each if index % 2 == 0 else None for index, each in enumerate(several)]
    assert find_all(cache, *several, several[0]) == [*wanted, several[0]]


def test_files_of_one_block_may_be_kept_one_after_the_other(cache: HashCache) -> None:
    several = [HASHED._replace(identity=IDENTITY._replace(inode=number)) for number in range(64)]
    for hashed in several:
        keep(cache, hashed, name=1)
    changed = HASHED._replace(identity=IDENTITY._replace(inode=5, ctime=7))
    keep(cache, changed)
    wanted = [*several[:5], changed, *several[6:]]
    assert find_all(cache, *wanted) == wanted


@pytest.mark.parametrize("inode", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_inode_number_can_be_kept(cache: HashCache, inode: int) -> None:
    hashed = HASHED._replace(identity=IDENTITY._replace(inode=inode))
    keep(cache, hashed)
    assert find(cache, hashed.identity) == hashed


def test_a_time_beyond_its_numbers_is_not_kept(cache: HashCache) -> None:
    keep(cache, HASHED._replace(identity=IDENTITY._replace(mtime=2**63)), HASHED)
    assert find(cache) == HASHED


# Renamed files. docs/decisions/0013 has the reasons.

LATER = IDENTITY._replace(ctime=IDENTITY.ctime + 10**9)


def test_a_renamed_file_is_found_and_kept_as_it_is_now(cache: HashCache) -> None:
    keep(cache, HASHED, name=1)
    assert find(cache, LATER, name=2) == HASHED._replace(identity=LATER)
    cache.flush()
    assert find(cache, LATER) == HASHED._replace(identity=LATER)
    assert find(cache, LATER._replace(ctime=LATER.ctime + 1), name=2) is None


@pytest.mark.parametrize(
    ("before", "now", "name", "generation"),
    [
        (1, LATER, 1, 7),  # it has the same name: it was written, and its mtime set back
        (1, LATER, 0, 7),  # it has several names
        (0, LATER, 2, 7),  # it had several
        (1, LATER, 2, 8),  # another file has got its inode
        (1, LATER, 2, 0),  # nobody knows
        (1, LATER._replace(mtime=0), 2, 7),
        (1, LATER._replace(size=101), 2, 7),
        (1, IDENTITY._replace(ctime=0), 2, 7),
        (1, IDENTITY._replace(ctime=4 * 10**18), 2, 7),  # it may be written in this very tick
    ],
)
def test_a_file_that_may_be_another_is_not_taken_for_renamed(
    cache: HashCache, before: int, now: Identity, name: int, generation: int
) -> None:
    keep(cache, HASHED, name=before)
    assert find(cache, now, name, generation) is None


def test_a_generation_that_was_never_known_proves_nothing(cache: HashCache) -> None:
    keep(cache, HASHED._replace(generation=0), name=1)
    assert find(cache, LATER, name=2, generation=0) is None


# Age.


def test_what_no_file_had_for_long_is_dropped(folder: Path) -> None:
    now = 10_000 * DAY
    cache = HashCache(State(str(folder)), clock=lambda: now)
    other = HASHED._replace(identity=IDENTITY._replace(inode=1300))
    keep(cache, HASHED, other)
    now += (NOTED_DAYS + 1) * DAY
    assert find(cache) == HASHED
    cache.flush()
    now += (KEPT_DAYS - NOTED_DAYS) * DAY
    cache.prune()
    assert find(cache) == HASHED
    assert find(cache, other.identity) is None


# Trouble.


def test_a_flipped_byte_in_a_row_is_noticed(cache: HashCache, file: Path) -> None:
    keep(cache, HASHED)
    with opened(file) as connection:
        [(row,)] = connection.execute("select rows from blocks").fetchall()
        for index in range(len(row)):
            wrong = bytearray(row)
            wrong[index] ^= 1
            connection.execute("update blocks set rows = ?", (bytes(wrong),))
            assert find(cache) is None
        for garbage in (None, 1, 1.5, "text", b"", b"x" * 200):
            connection.execute("update blocks set rows = ?", (garbage,))
            assert find(cache) is None
        connection.execute("update blocks set rows = ?, seen = 'long ago'", (row,))
        assert find(cache) == HASHED


def test_a_chain_does_not_hold_for_another_file(cache: HashCache, file: Path) -> None:
    size = 2 * LEAST_SEGMENT
    one = HASHED._replace(states=b"s" * 20, identity=IDENTITY._replace(size=size))
    two = one._replace(states=b"t" * 20, identity=one.identity._replace(inode=13))
    keep(cache, one, two)
    assert find(cache, one.identity) == one
    with opened(file) as connection:
        chains = dict(connection.execute("select inode, states from chains").fetchall())
        for inode, other in ((12, chains[13]), (13, chains[12][:-1]), (12, None), (13, "text")):
            connection.execute("update chains set states = ? where inode = ?", (other, inode))
            assert find(cache, IDENTITY._replace(size=size, inode=inode)) is None
        connection.execute("update chains set states = ? where inode = 13", (chains[13],))
        assert find(cache, two.identity) == two
        connection.execute("delete from chains")
    assert find(cache, two.identity) is None


def test_a_row_does_not_hold_for_another_inode(cache: HashCache, file: Path) -> None:
    keep(cache, HASHED)
    with opened(file) as connection:
        connection.execute("update blocks set block = 13")
    assert find(cache, IDENTITY._replace(inode=13 * 64 + 12)) is None


@pytest.mark.parametrize("how", ["garbage", "version", "table", "schema", "pages"])
def test_a_damaged_cache_is_set_aside_and_begun_anew(
    cache: HashCache, file: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO)
    keep(cache, HASHED)
    match how:
        case "garbage":
            file.write_bytes(some_bytes(5000))
        case "pages":
            content = file.read_bytes()
            file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
        case "version" | "table" | "schema":
            with opened(file) as connection:
                connection.execute(
                    {
                        "version": "pragma user_version = 77",
                        "table": "drop table blocks",
                        "schema": "alter table blocks rename column rows to other",
                    }[how]
                )
    damaged = file.read_bytes()
    assert find(cache) is None
    keep(cache, HASHED)
    assert find(cache) == HASHED
    assert file.with_name(f"{file.name}.bad").read_bytes() == damaged
    assert len(caplog.records) == 1


def test_a_locked_cache_is_left_alone_and_written_later(
    cache: HashCache, file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashcache, "READ_PATIENCE", 0.01)
    monkeypatch.setattr(hashcache, "WRITE_PATIENCE", 0.01)
    keep(cache, HASHED)
    other = HASHED._replace(identity=IDENTITY._replace(inode=13))
    began = time.monotonic()
    with opened(file) as connection:
        connection.execute("begin exclusive")
        assert find(cache) is None
        keep(cache, other)
        cache.prune()
    assert time.monotonic() - began < QUICK
    assert find(cache) == HASHED
    cache.flush()
    assert find(cache, other.identity) == other
    assert not caplog.records


def test_what_waits_for_a_locked_cache_is_bounded(
    cache: HashCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashcache, "_WAITING", 3)
    for _ in range(10):
        cache.keep(HASHED)
    assert len(cache._waiting) == 3


def test_a_full_disk_costs_one_line(cache: HashCache, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    keep(cache, HASHED)
    others = [HASHED._replace(identity=IDENTITY._replace(inode=n)) for n in range(1000)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        keep(cache, *others)
        keep(cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(caplog.records) == 1
    assert find(cache) == HASHED
    cache.flush()
    assert find(cache, others[-1].identity) == others[-1]


@pytest.mark.parametrize("what", ["nowhere", "folder", "pipe"])
def test_a_cache_that_cannot_be_had_costs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "state"
    folder.mkdir()
    if what == "folder":
        (folder / hashfile.NAME).mkdir()
    if what == "pipe":
        os.mkfifo(folder / hashfile.NAME)
    cache = HashCache(State("/dev/null/nowhere" if what == "nowhere" else str(folder)))
    for _ in range(3):
        keep(cache, HASHED)
        assert find(cache) is None
        cache.prune()
    assert len(caplog.records) == 1


def test_no_state_folder_is_no_cache_and_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cache = HashCache(State(""))
    keep(cache, HASHED)
    assert find(cache) is None
    assert not caplog.records


def test_nobody_else_may_read_it(cache: HashCache, file: Path) -> None:
    keep(cache, HASHED)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_stop_ends_the_looking(cache: HashCache) -> None:
    keep(cache, HASHED)
    stop = Stop()
    stop.set()
    assert cache.find(Asked([IDENTITY]), stop).digests == [None]


def test_an_identity_is_settled_once_it_is_older_than_a_tick() -> None:
    assert not hashing.settled(IDENTITY, IDENTITY.ctime + hashing.YOUNG_NS)
    assert hashing.settled(IDENTITY, IDENTITY.ctime + hashing.YOUNG_NS + 1)
