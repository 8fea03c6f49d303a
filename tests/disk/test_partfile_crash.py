"""A part file and a process that is killed at the worst moments, and a disk that is full."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from honest import digest_of, some_bytes

from pirate.disk.partfile import PartFile, exists, holds
from pirate.disk.tree import PART_SUFFIX
from pirate.errors import LocalIOError

CONTENT = some_bytes(300_000)
DIGEST = digest_of(CONTENT)
PART = f".{DIGEST}{PART_SUFFIX}"

# Downloads and publishes, and is killed just before one call.
KILLED = """
import os, random, signal, sys
from pirate.disk.partfile import PartFile
from pirate.model import Digest
folder = os.open(sys.argv[1], os.O_RDONLY)
real = getattr(os, sys.argv[3])
left = int(sys.argv[4])
def killed(*arguments, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(os, sys.argv[3], killed)
with PartFile(folder, Digest(bytes.fromhex(sys.argv[2]))) as part:
    content = random.Random(0).randbytes(300_000)
    for at in range(0, len(content), 100_000):
        part.write(memoryview(content[at:at + 100_000]), at)
    part.publish("file")
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Iterator[int]:
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield folder
    os.close(folder)


def finish(folder: int) -> None:
    """What the next run does: keep what is right, write the rest, publish."""
    with PartFile(folder, DIGEST) as part:
        have = sum(map(len, part.pieces()))
        part.write(memoryview(CONTENT[have:]), have)
        if not exists(folder, "file"):
            part.publish("file")
        else:
            part.truncate(0)


@pytest.mark.parametrize(
    ("call", "count"),
    [("pwrite", 0), ("pwrite", 2), ("fsync", 0), ("link", 0), ("unlink", 0), ("fsync", 1)],
)
def test_a_kill_at_any_step_leaves_no_wrong_file_and_the_next_run_finishes(
    folder: int, tmp_path: Path, call: str, count: int
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(DIGEST), call, str(count)]
    done = subprocess.run(command, check=False)
    assert done.returncode == -signal.SIGKILL
    if (tmp_path / "file").exists():
        assert (tmp_path / "file").read_bytes() == CONTENT
    finish(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_kill_between_link_and_unlink_leaves_a_file_that_is_never_written_to_again(
    folder: int, tmp_path: Path
) -> None:
    (tmp_path / PART).write_bytes(CONTENT)
    (tmp_path / "file").hardlink_to(tmp_path / PART)
    with PartFile(folder, DIGEST) as part:
        assert not list(part.pieces())
        part.write(memoryview(b"other bytes"), 0)
        assert (tmp_path / "file").read_bytes() == CONTENT
        part.truncate(0)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or not mount:
        pytest.skip("only root can mount")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.leaves_part_file
def test_a_disk_that_is_full_keeps_what_fitted(small_disk: Path) -> None:
    content = some_bytes(2 * 1024 * 1024)
    folder = os.open(small_disk, os.O_RDONLY)
    with PartFile(folder, digest_of(content)) as part:
        assert 0 < part.room <= 1024 * 1024
        with pytest.raises(LocalIOError, match="no space left on device"):
            part.write(memoryview(content), 0)
        kept = b"".join(map(bytes, part.pieces()))
        assert len(kept) > 512 * 1024
        assert content.startswith(kept)
        assert part.room < 64 * 1024
    os.close(folder)


LIMITED = """
import os, resource, sys, signal
from pirate.disk.partfile import PartFile
from pirate.errors import LocalIOError
from pirate.model import Digest
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
folder = os.open(sys.argv[1], os.O_RDONLY)
with PartFile(folder, Digest(bytes.fromhex(sys.argv[2]))) as part:
    try:
        part.write(memoryview(bytes(300_000)), 0)
    except LocalIOError as error:
        sys.stdout.write(str(error))
"""


@pytest.mark.leaves_part_file
def test_a_limit_on_the_size_of_files_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(DIGEST)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "cannot write: file too large"
    assert (tmp_path / PART).stat().st_size == 150_000


# Looking.


def test_whether_a_name_is_taken_does_not_follow_it(folder: int, tmp_path: Path) -> None:
    assert not exists(folder, "file")
    (tmp_path / "file").symlink_to("nowhere")
    assert exists(folder, "file")


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_a_name_that_cannot_be_is_a_local_error(folder: int, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalIOError):
        exists(folder, name)


def test_a_file_holds_a_digest_if_its_bytes_have_it(folder: int, tmp_path: Path) -> None:
    assert not holds(folder, "file", DIGEST)
    (tmp_path / "file").write_bytes(CONTENT)
    assert holds(folder, "file", DIGEST)
    (tmp_path / "link").symlink_to("file")
    assert holds(folder, "link", DIGEST)
    (tmp_path / "file").write_bytes(CONTENT + b"!")
    assert not holds(folder, "file", DIGEST)
    (tmp_path / "folder").mkdir()
    assert not holds(folder, "folder", DIGEST)
    os.mkfifo(tmp_path / "fifo")
    assert not holds(folder, "fifo", DIGEST)
