"""pirate hash: what can be read is hashed, what cannot is told."""

import os
from pathlib import Path

import pytest
from cli.calling import Pirate
from honest import digest_of


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
