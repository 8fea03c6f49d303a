"""No room and no permission: exit code 8, a line that says where, and nothing left behind."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from honest import digest_of, some_bytes
from processes.network import fill
from processes.peers import Serving, command, environment, one_line, pirate

CONTENT = some_bytes(3_000_000)
SHA1 = str(digest_of(CONTENT))

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A peer with a file of 3 MB."""
    folder = fill(tmp_path_factory.mktemp("disk") / "shared", {"file.bin": CONTENT})
    with Serving(folder) as serving:
        yield serving


@contextmanager
def disk(place: Path, options: str) -> Iterator[Path]:
    """A file system of its own below ``place``."""
    where = place / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


def test_a_full_disk_is_a_local_error_and_leaves_nothing(server: Serving, place: Path) -> None:
    with disk(place, "size=1m") as small:
        done = pirate("get", SHA1, "--peer", server.address, "-d", small)
        assert list(small.iterdir()) == []
    assert done.code == 8
    assert done.err.splitlines()[-1].startswith("pirate: local_io: ")
    assert "free" in done.err


def test_a_disk_that_has_room_again_is_healed_by_the_same_command(
    server: Serving, place: Path
) -> None:
    with disk(place, "size=4m") as small:
        (small / "filler").write_bytes(bytes(2_000_000))
        get = ("get", SHA1, "--peer", server.address, "-d", small)
        assert pirate(*get).code == 8
        (small / "filler").unlink()
        assert pirate(*get).code == 0
        assert (small / "file.bin").read_bytes() == CONTENT


def test_a_read_only_target_is_a_local_error(server: Serving, place: Path) -> None:
    with disk(place, "ro") as frozen_disk:
        done = pirate("get", SHA1, "--peer", server.address, "-d", frozen_disk)
    assert done.code == 8
    assert one_line(done, "local_io")
    assert "read-only" in done.err


def test_a_target_below_a_file_is_a_local_error(server: Serving, place: Path) -> None:
    (place / "file").write_bytes(b"")
    done = pirate("get", SHA1, "--peer", server.address, "-o", place / "file" / "x")
    assert done.code == 8
    assert one_line(done, "local_io")


@pytest.mark.parametrize("flags", [(), ("--sums",), ("--json",)], ids=["table", "sums", "json"])
def test_a_full_disk_behind_stdout_is_a_local_error(
    server: Serving, flags: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("ls", "--peer", server.address, *flags),
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    assert done.returncode == 8
    assert done.stderr.count(b"\n") <= 1
    assert b"Traceback" not in done.stderr


def test_one_of_several_files_without_room_is_told_apart(server: Serving, place: Path) -> None:
    sums = f"{SHA1}  a\n{digest_of(b'')}  b\n"
    with disk(place, "size=1m") as small:
        get = ("get", "-i", "-", "--peer", server.address, "-d", small, "--json")
        done = pirate(*get, stdin=sums)
    codes = [
        json.loads(line)["code"]
        for line in done.out.splitlines()
        if json.loads(line)["type"] in {"result", "summary"}
    ]
    assert codes == ["local_io", "not_found", "partial"]
    assert done.code == 11
