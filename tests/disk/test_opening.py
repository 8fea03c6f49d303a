import os
from pathlib import Path

import pytest

from pirate.disk.opening import open_file, open_folder, sync_folder
from pirate.disk.place import Parts


def test_a_file_is_opened_by_its_parts(share: Path) -> None:
    (share / "folder").mkdir()
    (share / "folder" / "file").write_bytes(b"content")
    file = open_file(str(share), ("folder", "file"))
    assert os.read(file, 100) == b"content"
    os.close(file)


@pytest.mark.parametrize(
    "parts", [("link",), ("to folder", "file"), ("fifo",), ("folder",), ("gone",), ("file", "x")]
)
def test_what_is_no_regular_file_below_the_root_is_not_opened(share: Path, parts: Parts) -> None:
    (share / "file").touch()
    (share / "folder").mkdir()
    (share / "folder" / "file").touch()
    (share / "link").symlink_to("file")
    (share / "to folder").symlink_to("folder")
    os.mkfifo(share / "fifo")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(OSError, match=r".+"):
        open_file(str(share), parts)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_folders_that_lack_are_made(tmp_path: Path) -> None:
    for _ in range(2):
        folder = open_folder(str(tmp_path / "new" / "root"), ("a", "b"))
        assert os.path.samestat(os.fstat(folder), (tmp_path / "new/root/a/b").stat())
        os.close(folder)


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_a_folder_is_not_made_through_what_is_none(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    if kind == "file":
        (tmp_path / "a").touch()
    else:
        (tmp_path / "a").symlink_to(outside)
    with pytest.raises(OSError, match=r".+"):
        open_folder(str(tmp_path), ("a", "b"))
    assert not list(outside.iterdir())


def test_a_folder_that_is_gone_has_nothing_to_sync_and_one_that_is_there_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    sync_folder(str(tmp_path))
    sync_folder(str(tmp_path / "gone"))
    assert synced == [tmp_path.stat().st_ino]
