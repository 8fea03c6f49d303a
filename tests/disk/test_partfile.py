import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from honest import digest_of, some_bytes

from pirate.disk.partfile import PartFile
from pirate.disk.tree import PART_SUFFIX
from pirate.errors import BusyError, LocalIOError

CONTENT = some_bytes(300_000)
DIGEST = digest_of(CONTENT)
PART = f".{DIGEST}{PART_SUFFIX}"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Iterator[int]:
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield folder
    os.close(folder)


def write(part: PartFile, content: bytes = CONTENT) -> None:
    part.write(memoryview(content), 0)


def pieces(part: PartFile) -> bytes:
    return b"".join(map(bytes, part.pieces()))


# Growing.


def test_what_was_written_is_there_the_next_time(folder: int, tmp_path: Path) -> None:
    with PartFile(folder, DIGEST) as part:
        assert pieces(part) == b""
        write(part, CONTENT[:1000])
    with PartFile(folder, DIGEST) as part:
        assert pieces(part) == CONTENT[:1000]
        part.write(memoryview(CONTENT[1000:]), 1000)
        assert pieces(part) == CONTENT
        part.truncate(0)
    assert not list(tmp_path.iterdir())


def test_nothing_stays_where_nothing_has_come(folder: int, tmp_path: Path) -> None:
    with PartFile(folder, DIGEST):
        assert [path.name for path in tmp_path.iterdir()] == [PART]
    assert not list(tmp_path.iterdir())


def test_a_short_write_is_followed_by_the_rest(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: real(file, data[:1000], at))
    with PartFile(folder, DIGEST) as part:
        write(part)
        assert pieces(part) == CONTENT
        part.truncate(0)


@pytest.mark.leaves_part_file
def test_a_full_disk_is_told_and_what_came_before_stays(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def fills(file: int, data: memoryview, at: int) -> int:
        if at >= 200_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: 200_000 - at], at)

    monkeypatch.setattr(os, "pwrite", fills)
    with PartFile(folder, DIGEST) as part:
        with pytest.raises(LocalIOError, match="no space left"):
            write(part)
        assert pieces(part) == CONTENT[:200_000]


def test_the_free_space_is_that_of_the_folder(folder: int) -> None:
    status = os.fstatvfs(folder)
    with PartFile(folder, DIGEST) as part:
        assert abs(part.room - status.f_bavail * status.f_frsize) < 64 * 1024 * 1024


# Locking.

HOLD = """
import os, sys, pathlib
from pirate.disk.partfile import PartFile
from pirate.model import Digest
folder = os.open(sys.argv[1], os.O_RDONLY)
with PartFile(folder, Digest(bytes.fromhex(sys.argv[2]))) as part:
    part.write(memoryview(b"held"), 0)
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_a_second_one_in_this_process_is_busy(folder: int) -> None:
    with PartFile(folder, DIGEST):
        with pytest.raises(BusyError):
            PartFile(folder, DIGEST)
        with pytest.raises(BusyError):
            PartFile(folder, DIGEST)
    with PartFile(folder, DIGEST):
        pass


def test_one_in_another_process_is_busy_until_it_is_killed(folder: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path), str(DIGEST)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError):
            PartFile(folder, DIGEST)
        other.kill()
    with PartFile(folder, DIGEST) as part:
        assert pieces(part) == b"held"
        part.truncate(0)


def test_who_starts_while_another_publishes_or_leaves_never_shares_its_file(
    folder: int, tmp_path: Path
) -> None:
    at_work = 0
    most = 0
    published: list[str] = []
    lock = threading.Lock()

    def get(number: int) -> None:
        nonlocal at_work, most
        for turn in range(30):
            try:
                part = PartFile(folder, DIGEST)
            except BusyError:
                continue
            with part:
                with lock:
                    at_work += 1
                    most = max(most, at_work)
                write(part, CONTENT[:100])
                with lock:
                    at_work -= 1
                name = f"{number}-{turn}"
                part.publish(name)
                published.append(name)

    threads = [threading.Thread(target=get, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert published
    assert {path.name for path in tmp_path.iterdir()} == set(published)
    assert len({path.stat().st_ino for path in tmp_path.iterdir()}) == len(published)


@pytest.mark.parametrize("other", ["leaves", "publishes", "begins anew"])
def test_a_file_that_another_lets_go_before_it_is_locked_is_not_written_to(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    real = fcntl.flock

    def late(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        match other:
            case "leaves":
                (tmp_path / PART).unlink()
            case "publishes":
                (tmp_path / PART).rename(tmp_path / "file")
            case "begins anew":
                (tmp_path / PART).unlink()
                (tmp_path / PART).touch()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with PartFile(folder, DIGEST) as part:
        write(part, b"mine")
        assert (tmp_path / PART).read_bytes() == b"mine"
        part.truncate(0)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


@pytest.mark.parametrize("kind", ["symlink", "dangling", "folder", "fifo"])
def test_what_is_no_file_of_ours_is_not_written_to(folder: int, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    part = tmp_path / PART
    match kind:
        case "symlink":
            other.write_bytes(b"mine")
            part.symlink_to(other)
        case "dangling":
            part.symlink_to(other)
        case "folder":
            part.mkdir()
        case "fifo":
            os.mkfifo(part)
    with pytest.raises(LocalIOError), PartFile(folder, DIGEST) as opened:
        write(opened)
    if kind == "symlink":
        assert other.read_bytes() == b"mine"
    else:
        assert not other.exists()
    if kind == "folder":
        part.rmdir()
    else:
        part.unlink(missing_ok=True)
