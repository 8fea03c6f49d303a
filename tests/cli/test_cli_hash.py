"""pirate hash: what can be read is hashed, what cannot is told."""

import os
from pathlib import Path

import pytest
from cli.calling import Pirate
from honest import digest_of, some_bytes
from shelf import Shelf

from pirate.cli.commands import hash as hash_command
from pirate.disk import hashing
from pirate.disk.hashing import Hashed
from pirate.scope import Stop


def test_a_file_that_is_not_there_is_exit_code_8(pirate: Pirate) -> None:
    done = pirate("hash", "nowhere")
    assert (done.code, done.out) == (8, "")
    assert done.says("local_io")
    assert "nowhere: no such file" in done.err


def test_a_folder_is_exit_code_8(pirate: Pirate, tmp_path: Path) -> None:
    done = pirate("hash", tmp_path)
    assert done.code == 8
    assert "is a folder" in done.err


@pytest.mark.parametrize("special", ["/dev/null", "/dev/zero"])
def test_a_device_is_exit_code_8_and_is_not_read(pirate: Pirate, special: str) -> None:
    done = pirate("hash", special)
    assert done.code == 8
    assert "is no regular file" in done.err


def test_a_pipe_that_nobody_writes_is_not_waited_for(pirate: Pirate, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = pirate("hash", "pipe")
    assert done.code == 8
    assert done.says("local_io")


def test_what_can_be_read_is_hashed_although_something_cannot(
    pirate: Pirate, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    done = pirate("hash", "nowhere", "a")
    assert done.code == 11
    assert done.out == f"{digest_of(b'a')}  a\n"
    assert done.says("local_io")


def test_a_symlink_is_followed(pirate: Pirate, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "link").symlink_to("a")
    assert pirate("hash", "link").out == f"{digest_of(b'a')}  link\n"


def test_a_name_that_looks_like_a_flag_goes_behind_two_dashes(
    pirate: Pirate, tmp_path: Path
) -> None:
    (tmp_path / "--json").write_bytes(b"a")
    assert pirate("hash", "--", "--json").out == f"{digest_of(b'a')}  --json\n"


def test_hash_needs_no_network_flags(pirate: Pirate) -> None:
    assert pirate("hash", "x", "--peer", "h:1").code == 2


@pytest.fixture(name="read")
def _read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the inode of every file that is read; files that tests write count as old."""
    inodes: list[int] = []
    real = hashing.hash_file

    def noted(file: int, stop: Stop) -> Hashed | None:
        inodes.append(os.fstat(file).st_ino)
        return real(file, stop)

    monkeypatch.setattr(hash_command, "hash_file", noted)
    monkeypatch.setattr(hashing, "YOUNG_NS", -(10**12))
    return inodes


def test_a_file_that_has_not_changed_is_not_read_twice(
    pirate: Pirate, tmp_path: Path, read: list[int]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    first = pirate("hash", "a", "b")
    assert first.code == 0
    assert len(read) == 2
    assert pirate("hash", "a", "b", "a").out == first.out + f"{digest_of(b'a')}  a\n"
    assert len(read) == 2
    assert pirate("hash", "a", "b", "--state", "").out == first.out
    assert len(read) == 4
    (tmp_path / "b").write_bytes(b"changed")
    assert pirate("hash", "b").out == f"{digest_of(b'changed')}  b\n"


def test_what_serve_has_hashed_hash_does_not_read_and_the_other_way_round(
    pirate: Pirate,
    share: Path,
    tmp_path: Path,
    read: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = tmp_path / "state"
    one, two = (digest_of(some_bytes(300_000, seed)) for seed in (1, 2))
    (share / "one").write_bytes(some_bytes(300_000, 1))
    Shelf(share, state=state).scan()
    (share / "two").write_bytes(some_bytes(300_000, 2))
    done = pirate("hash", share / "one", share / "two", "--state", state)
    assert done.out == f"{one}  {share / 'one'}\n{two}  {share / 'two'}\n"
    assert read == [(share / "two").stat().st_ino]
    shelf = Shelf(share, state=state)
    monkeypatch.setattr(hashing, "hash_one", None)  # nothing is read
    assert shelf.scan().keys() == {one, two}
    assert shelf.library.chain(two)


def test_a_file_that_grows_while_it_is_hashed_has_a_digest(
    pirate: Pirate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(hash_command, "hash_file", lambda *_: None)
    assert pirate("hash", "a").out == f"{digest_of(b'a')}  a\n"
