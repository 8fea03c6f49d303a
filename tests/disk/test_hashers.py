"""Processes that read small files, and what becomes of those that they do not read."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from honest import digest_of

from pirate.disk import hashers as hashers_module
from pirate.disk.hashers import Hashers, Read
from pirate.disk.hashrows import digest_in
from pirate.disk.tree import Listing, listings
from pirate.scope import Stop

OLD_NS = 10**18


@pytest.fixture(name="stop")
def _stop() -> Stop:
    return Stop()


@pytest.fixture(name="hashers")
def _hashers(stop: Stop) -> Iterator[Hashers]:
    with Hashers(2, stop) as hashers:
        yield hashers


def filled(share: Path, count: int) -> Listing:
    for number in range(count):
        (share / f"{number:03}").write_bytes(b"%d" % number)
    [listing] = listings(str(share), lambda *_: None)
    return listing


def digests(read: Read) -> list[bytes | None]:
    return [row and digest_in(row) for row in read.rows]


def test_files_are_read_and_told_in_the_order_of_their_names(share: Path, hashers: Hashers) -> None:
    listing = filled(share, 100)
    parts = [listing.some(range(first, first + 10)) for first in range(0, 100, 10)]
    for part in parts:
        hashers.ask(part)
    answers = {read.listing.names[0]: read for read in hashers.read()}
    assert len(answers) == 10
    for part in parts:
        wanted = [digest_of((share / name).read_bytes()) for name in part.names]
        assert digests(answers[part.names[0]]) == wanted


def test_only_as_many_answers_are_awaited_as_are_wanted(share: Path, hashers: Hashers) -> None:
    listing = filled(share, 3)
    for at in range(3):
        hashers.ask(listing.some([at]))
    assert len(list(hashers.read(2))) == 1
    assert len(list(hashers.read())) == 2
    assert list(hashers.read()) == []


def test_what_is_not_as_it_was_found_is_not_read(
    share: Path, hashers: Hashers, tmp_path: Path
) -> None:
    listing = filled(share, 7)
    secret = tmp_path / "secret"
    secret.write_bytes(b"0")
    for name in ("000", "001", "002", "003"):
        (share / name).unlink()
    (share / "001").symlink_to(secret)
    os.mkfifo(share / "002")
    (share / "003").mkdir()
    (share / "004").write_bytes(b"longer than it was")
    os.utime(share / "005", ns=(OLD_NS, OLD_NS))
    hashers.ask(listing)
    [read] = hashers.read()
    assert digests(read) == [None] * 6 + [digest_of(b"6")]


def test_a_folder_that_is_gone_or_a_link_is_not_entered(share: Path, hashers: Hashers) -> None:
    (share / "folder").mkdir()
    listing = filled(share / "folder", 2)._replace(root=str(share), parts=("folder",))
    (share / "folder").rename(share / "elsewhere")
    (share / "folder").symlink_to(share / "elsewhere")
    hashers.ask(listing)
    [read] = hashers.read()
    assert read.rows == [None, None]


def test_young_files_are_told_apart(share: Path, hashers: Hashers) -> None:
    listing = filled(share, 2)
    old = listing.identities[0]._replace(ctime=OLD_NS)
    hashers.ask(listing._replace(identities=[old, listing.identities[1]._replace(ctime=2**62)]))
    [read] = hashers.read()
    assert read.settled == b"\1\0"


def test_processes_that_are_killed_leave_their_files_unread(share: Path, hashers: Hashers) -> None:
    listing = filled(share, 10)
    hashers.ask(listing)
    assert len(list(hashers.read())) == 1
    for process in [each._process for each in hashers._hashers]:
        process.kill()
        process.wait()
    for at in range(10):
        hashers.ask(listing.some([at]))
    assert [read.rows for read in hashers.read()] == [[None]] * 10


def test_where_no_process_can_be_started_nothing_is_read(
    share: Path, hashers: Hashers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise BlockingIOError("resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", fails)
    hashers.ask(filled(share, 3))
    assert [read.rows for read in hashers.read()] == [[None] * 3]


def test_a_stop_ends_them_whatever_they_are_at(share: Path, hashers: Hashers, stop: Stop) -> None:
    listing = filled(share, 1)
    hashers.ask(listing)
    assert len(list(hashers.read())) == 1
    for hasher in hashers._hashers:
        os.kill(hasher._process.pid, signal.SIGSTOP)  # as one whose disk does not answer
    hashers.ask(listing)
    stop.set()
    assert len(list(hashers.read())) <= 1
    for hasher in hashers._hashers:
        hasher._process.wait()


def test_whoever_leaves_early_waits_for_nobody(share: Path, stop: Stop) -> None:
    listing = filled(share, 1)
    with Hashers(1, stop) as hashers:
        hashers.ask(listing)
        assert len(list(hashers.read())) == 1
        [hasher] = hashers._hashers
        os.kill(hasher._process.pid, signal.SIGSTOP)
        for _ in range(100):
            hashers.ask(listing)
    assert hasher._process.returncode == -signal.SIGKILL


def test_ctrl_c_is_for_others(share: Path, hashers: Hashers) -> None:
    listing = filled(share, 1)
    hashers.ask(listing)
    assert len(list(hashers.read())) == 1
    for hasher in hashers._hashers:
        assert os.getpgid(hasher._process.pid) != os.getpgid(0)


def test_a_package_of_our_name_in_the_current_folder_is_not_run(
    share: Path, hashers: Hashers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pirate").mkdir()
    (tmp_path / "pirate" / "__init__.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    hashers.ask(filled(share, 1))
    assert [digests(read) for read in hashers.read()] == [[digest_of(b"0")]]


def test_one_that_does_not_end_is_left_behind(
    share: Path, stop: Stop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hashers_module, "_END_SECONDS", 0.01)
    with Hashers(1, stop) as hashers:
        hashers.ask(filled(share, 1))
        assert len(list(hashers.read())) == 1
        [hasher] = hashers._hashers
        os.kill(hasher._process.pid, signal.SIGSTOP)
        with monkeypatch.context() as patch:
            patch.setattr(hasher, "kill", lambda: None)
            hashers.__exit__()
    assert "does not end" in caplog.text
    hasher._process.kill()
    hasher._process.wait()
