import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from honest import digest_of, some_bytes

from pirate.disk.partfile import PartFile
from pirate.disk.tree import PART_SUFFIX
from pirate.errors import ExistsError, LocalIOError

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


# Publishing.


def test_a_whole_file_gets_its_name_and_the_part_file_is_gone(folder: int, tmp_path: Path) -> None:
    with PartFile(folder, DIGEST) as part:
        write(part)
        part.publish("file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert (tmp_path / "file").stat().st_nlink == 1


def test_an_empty_file_can_be_published(folder: int, tmp_path: Path) -> None:
    with PartFile(folder, digest_of(b"")) as part:
        part.publish("empty")
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("empty", 0)]


@pytest.mark.leaves_part_file
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling symlink"])
def test_a_name_that_is_taken_stays_as_it_is(
    folder: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    links: bool,  # noqa: FBT001
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    taken = tmp_path / "file"
    if kind == "file":
        taken.write_bytes(b"mine")
    elif kind == "folder":
        taken.mkdir()
    else:
        taken.symlink_to("nowhere")
    with PartFile(folder, DIGEST) as part:
        write(part)
        before = taken.lstat()
        with pytest.raises(ExistsError):
            part.publish("file")
    assert taken.lstat() == before
    assert (tmp_path / PART).read_bytes() == CONTENT


def test_a_name_that_may_be_overwritten_is(folder: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with PartFile(folder, DIGEST) as part:
        write(part)
        part.publish("file", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_overwriting_a_symlink_replaces_it_and_not_what_it_leads_to(
    folder: int, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / "file").symlink_to("other")
    with PartFile(folder, DIGEST) as part:
        write(part)
        part.publish("file", overwrite=True)
    assert (tmp_path / "other").read_bytes() == b"mine"
    assert not (tmp_path / "file").is_symlink()


def no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_hard_links_will_do(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links)
    with PartFile(folder, DIGEST) as part:
        write(part)
        part.publish("file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.leaves_part_file
@pytest.mark.parametrize("call", ["fsync", "link", "unlink"])
def test_an_error_while_publishing_is_told(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with PartFile(folder, DIGEST) as part:
        write(part)
        monkeypatch.setattr(os, call, fail)
        with pytest.raises(LocalIOError, match="cannot finish file: input/output error"):
            part.publish("file")
    if call != "unlink":
        assert not (tmp_path / "file").exists()
    assert (tmp_path / PART).read_bytes() == CONTENT
