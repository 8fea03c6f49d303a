"""Many files to the disk at once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pirate.disk import flush as module
from pirate.disk.flush import FEW_FILES, flush
from pirate.errors import LocalIOError


@pytest.fixture(name="files")
def _files(tmp_path: Path) -> Iterator[list[int]]:
    files = [os.open(tmp_path / str(i), os.O_CREAT | os.O_RDWR) for i in range(FEW_FILES)]
    yield files
    for file in files:
        os.close(file)


@pytest.fixture(name="synced")
def _synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How files were synced."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append("fsync"))
    monkeypatch.setattr(module, "_syncfs", lambda _: synced.append("syncfs"))
    return synced


def kind(monkeypatch: pytest.MonkeyPatch, name: str, release: str = "6.1.0-test") -> None:
    module._whole.cache_clear()
    monkeypatch.setattr(module, "_kind", lambda _: name)
    like = os.uname()
    monkeypatch.setattr(
        os, "uname", lambda: os.uname_result((like[0], like[1], release, *like[3:]))
    )


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (("ext4", "6.1.0-test"), ["syncfs"]),
        (("xfs", "5.8"), ["syncfs"]),
        (("ext4", "5.7.19"), ["fsync"] * FEW_FILES),  # its syncfs is silent about errors
        (("fuse.sshfs", "6.1.0-test"), ["fsync"] * FEW_FILES),
        (("", "6.1.0-test"), ["fsync"] * FEW_FILES),
    ],
)
def test_one_flush_is_for_all_where_the_file_system_keeps_its_promise(
    monkeypatch: pytest.MonkeyPatch,
    files: list[int],
    synced: list[str],
    system: tuple[str, str],
    expected: list[str],
) -> None:
    kind(monkeypatch, *system)
    flush(files)
    assert synced == expected
    module._whole.cache_clear()


def test_a_few_files_are_not_worth_what_others_have_left_unwritten(
    monkeypatch: pytest.MonkeyPatch, files: list[int], synced: list[str]
) -> None:
    kind(monkeypatch, "ext4")
    flush(files[1:])
    assert synced == ["fsync"] * (FEW_FILES - 1)
    module._whole.cache_clear()


def test_the_real_thing_works_here(files: list[int]) -> None:
    module._whole.cache_clear()
    flush(files)
    flush(files[:1])
    flush([])
    module._syncfs(files[0])


def test_what_could_not_be_written_is_told(files: list[int]) -> None:
    os.close(files[0])
    with pytest.raises(OSError, match="descriptor"):
        module._syncfs(files[0])
    with pytest.raises(LocalIOError, match="cannot write to the disk"):
        flush(files)
    files.pop(0)
