"""Small files in a folder that may be absent, read-only, full or full of garbage."""

import errno
import logging
import os
import stat
from pathlib import Path

import pytest

from pirate.disk.state import State


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """Give a state folder that is not there yet."""
    return tmp_path / "home" / "state"


@pytest.fixture(name="state")
def _state(folder: Path) -> State:
    return State(str(folder))


def test_what_was_written_is_read_by_others_of_this_user_only(state: State, folder: Path) -> None:
    state.write("file", b"one")
    state.write("file", b"two")
    assert State(str(folder)).read("file", 100) == b"two"
    assert state.read("file", 2) == b"tw"
    assert state.names() == ["file"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o600
    state.remove("file")
    assert state.names() == []


def test_a_file_says_since_when_it_holds(state: State) -> None:
    assert state.modified("file") == 0.0
    state.write("file", b"", 1000.5)
    assert state.modified("file") == 1000.5
    state.touch("file", 2000.0)
    assert state.modified("file") == 2000.0


def test_what_is_not_there_is_no_trouble(
    state: State, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert (state.read("file", 9), state.modified("file"), state.names()) == (b"", 0.0, [])
    state.touch("file", 1.0)
    state.remove("file")
    assert not state.locked("file")
    assert not folder.exists()
    assert not caplog.records


def useless(tmp_path: Path) -> list[str]:
    """Paths where no folder can be."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    return ["", "/dev/null", "/dev/null/state", "/proc/state", str(tmp_path / "file"), "\0"] + [
        str(tmp_path / name) for name in ("file/state", "loop", "x" * 300)
    ]


def test_without_a_folder_all_goes_on_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in useless(tmp_path):
        caplog.clear()
        state = State(path, level=logging.WARNING)
        for _ in range(2):
            state.write("file", b"data")
            assert state.lock("id") is None
            assert (state.read("file", 9), state.names()) == (b"", [])
        assert [record.levelname for record in caplog.records] == ["WARNING"], path


def test_a_disk_that_is_read_only_still_gives_what_it_has(
    state: State, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.write("file", b"old")
    real = os.open

    def read_only(path: str, flags: int, *more: int, **how: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *more, **how)

    monkeypatch.setattr(os, "open", read_only)
    state.write("file", b"new")
    assert state.lock("id") is None
    assert state.read("file", 9) == b"old"
    monkeypatch.undo()
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_disk_that_is_full_keeps_what_it_has(
    state: State, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.write("file", b"old")
    real = os.open

    def full(path: str, flags: int, *more: int, **how: int) -> int:
        number = real(path, flags, *more, **how)
        if str(path).endswith(".new"):
            os.close(number)
            number = real("/dev/full", os.O_WRONLY)
        return number

    monkeypatch.setattr(os, "open", full)
    state.write("file", b"new")
    monkeypatch.undo()
    assert state.read("file", 9) == b"old"
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_what_lies_there_and_is_no_file_is_done_without(state: State, folder: Path) -> None:
    state.write("other", b"secret")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("other")
    os.mkfifo(folder / "pipe")
    for name in ("folder", "link", "pipe"):
        assert state.read(name, 9) == b""
    assert state.lock("link") is None
    state.write("link", b"ours")
    assert (state.read("link", 9), state.read("other", 9)) == (b"ours", b"secret")


def test_a_lock_is_held_until_its_file_is_closed(state: State, folder: Path) -> None:
    file = state.lock("id")
    assert file
    assert State(str(folder)).locked("id")
    with pytest.raises(BlockingIOError):
        State(str(folder)).lock("id")
    file.close()
    assert not state.locked("id")
    again = state.lock("id")
    assert again
    again.close()
