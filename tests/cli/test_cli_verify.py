"""pirate verify: what is bad is told, and decides the exit code."""

import os
from pathlib import Path

import pytest
from cli.calling import Pirate
from cli.schemas import faults
from honest import digest_of, some_bytes
from rot import rot

from pirate.cli import reading
from pirate.disk import hashing
from pirate.disk.opening import Opener
from pirate.disk.state import State

LARGE = some_bytes(300_000)


@pytest.fixture(autouse=True)
def _old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that tests write count as old, so that the cache keeps them."""
    monkeypatch.setattr(hashing, "YOUNG_NS", -(10**12))


@pytest.fixture(name="files")
def _files(share: Path) -> Path:
    (share / "large").write_bytes(LARGE)
    (share / "small").write_bytes(b"small")
    return share


def test_what_is_as_it_was_is_exit_code_0(pirate: Pirate, files: Path) -> None:
    first = pirate("verify", files)
    assert (first.code, first.out) == (0, "")
    assert first.err.startswith("pirate: 0 files as they were, 2 new and noted; 293 KiB in ")
    again = pirate("verify", files)
    assert again.code == 0
    assert again.err.startswith("pirate: 2 files as they were; 293 KiB in ")
    assert pirate("verify", files, "-q").err == ""


def test_what_serve_or_hash_have_noted_is_compared(pirate: Pirate, files: Path) -> None:
    pirate("hash", files / "large", files / "small")
    assert "2 files as they were;" in pirate("verify", files).err


def test_rot_is_exit_code_6_and_the_path_is_on_stdout(pirate: Pirate, files: Path) -> None:
    before = rot(files / "large", 200_000)
    for flags in ([], ["-q"]):
        done = pirate("verify", files, *flags)
        assert (done.code, done.out) == (6, f"{files}/large\n")
        told = f"pirate: integrity: {files}/large has rotted: segment 3 of 5, bytes 196608 to "
        assert done.err.startswith(f"{told}262143; it was {before.digest}; get the file again by")
    assert pirate("verify", "--exclude", "large", files).code == 0


def test_rot_of_a_small_file_is_told_without_a_segment(pirate: Pirate, files: Path) -> None:
    before = rot(files / "small", 0)
    done = pirate("verify", files, "-q")
    assert f"small has rotted; it was {before.digest} and is {digest_of(b'small')};" in done.err


def broken(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = Opener.open

    def opened(self: Opener, root: str, parts: tuple[str, ...]) -> int:
        if parts[-1] in names:
            raise OSError(5, "Input/output error")
        return real(self, root, parts)

    monkeypatch.setattr(Opener, "open", opened)


def test_what_cannot_be_read_is_exit_code_8_or_11_if_something_can(
    pirate: Pirate, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "large")
    some = pirate("verify", files)
    assert some.code == 11
    assert some.err.startswith(f"pirate: local_io: cannot read {files}/large: input/output error;")
    assert "0 files as they were, 1 new and noted, 1 cannot be read;" in some.err
    broken(monkeypatch, "large", "small")
    assert pirate("verify", files).code == 8


def test_rot_is_worse_than_what_cannot_be_read(
    pirate: Pirate, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "large")
    rot(files / "small", 0)
    assert pirate("verify", files).code == 6


def test_a_folder_that_is_none_is_exit_code_2(pirate: Pirate, tmp_path: Path) -> None:
    done = pirate("verify", tmp_path / "nowhere")
    assert (done.code, done.says("usage")) == (2, True)


def test_the_configured_folders_or_this_one_are_verified_if_none_is_named(
    pirate: Pirate, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "third").touch()
    assert "3 new" in pirate("verify").err
    monkeypatch.setenv("PIRATE_FOLDERS", str(files))
    assert "2 files as they were;" in pirate("verify").err


def test_every_line_of_json_fits_the_schema(
    pirate: Pirate, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "JSON_SECONDS", 0.0)
    (files / "worse").write_bytes(b"")
    broken(monkeypatch, "worse")
    before = rot(files / "large", 70_000)
    done = pirate("verify", files, "--json")
    assert not [fault for each in done.objects for fault in faults(each, "verify")]
    assert done.err == ""
    start, *between, summary = done.objects
    assert (start["files"], start["bytes"], start["folders"]) == (3, 300_005, [str(files)])
    [rotten] = [each for each in between if each.get("state") == "rotten"]
    assert rotten["sha1"] == str(before.digest)
    assert rotten["found"] == str(digest_of(LARGE))
    assert rotten["segment"] == {"index": 1, "count": 5, "start": 65_536, "bytes": 65_536}
    [unreadable] = [each for each in between if each.get("state") == "unreadable"]
    assert unreadable["path"] == f"{files}/worse"
    assert "progress" in {each["type"] for each in between}
    assert (summary["type"], summary["code"], summary["exit"]) == ("summary", "integrity", 6)
    assert (summary["files"], summary["rotten"], summary["unreadable"]) == (3, 1, 1)
    (files / "large").write_bytes(LARGE)
    good = pirate("verify", files, "--json", "--exclude", "worse")
    assert not [fault for each in good.objects for fault in faults(each, "verify")]
    assert (good.code, good.last["noted"], good.last["sound"]) == (0, 1, 1)


def test_an_odd_name_is_written_as_its_bytes(pirate: Pirate, share: Path) -> None:
    (share / "new\nline").write_bytes(b"1")
    rot(share / "new\nline", 0)
    done = pirate("verify", share, "-q")
    assert done.out == f"{share}/new\nline\n"
    assert "new\\nline" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("how", "shows"), [("plain", " left; 0 files, 0 rotten\n"), ("bar", ""), ("none", "")]
)
def test_progress_is_shown_as_the_user_wants_it(
    pirate: Pirate, files: Path, monkeypatch: pytest.MonkeyPatch, how: str, shows: str
) -> None:
    monkeypatch.setattr(reading, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(reading.Reading.__init__, "__defaults__", (0.0,))
    done = pirate("verify", files, "--progress", how)
    assert done.code == 0
    assert shows in done.err
    assert done.err.rstrip().endswith(" s")


def test_a_state_that_cannot_be_had_is_done_without(pirate: Pirate, files: Path) -> None:
    done = pirate("verify", files, "--state", f"{os.devnull}/nowhere")
    assert done.code == 0
    assert "2 new and noted" in done.err
    assert State(os.environ["PIRATE_STATE"]).names() == []
