"""verify beside everything else: broken off, beside a serve, over pipes and terminals."""

import json
import os
import signal
from pathlib import Path

import pytest
from processes.network import fill
from processes.peers import Running, Serving, pirate, until
from processes.test_terminal import shown
from rot import rot

SOON = 10.0


def cursors() -> list[Path]:
    return list(Path(os.environ["PIRATE_STATE"]).glob("verify.*"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_pass_that_is_broken_off_goes_on_where_it_was(
    place: Path, number: signal.Signals, code: int
) -> None:
    folder = fill(place / "s", {f"a/{n:04}": b"%d" % n for n in range(1000)})
    rot(folder / "a" / "0007", 0)
    with (folder / "b").open("wb") as file:
        file.truncate(2**40)  # of which not a byte is on the disk, and which takes an hour
    with Running("verify", folder, "--json") as verifying:
        assert until(lambda: bool(cursors()))
        done = verifying.stopped_by(number)
    assert done.seconds < SOON
    *_, last = map(json.loads, done.out.splitlines())
    assert (done.code, last["exit"], last["code"]) == (code, code, "interrupted")
    os.truncate(folder / "b", 5)
    again = pirate("verify", folder, "--json")
    start, *_, summary = map(json.loads, again.out.splitlines())
    assert (start["resumed_files"], start["files"], start["bytes"]) == (1000, 2, 6)
    assert (again.code, summary["rotten"], summary["noted"]) == (6, 1, 1)
    assert cursors() == []


def test_restart_begins_anew(place: Path) -> None:
    folder = fill(place / "s", {f"{n:04}": b"%d" % n for n in range(1000)})
    with (folder / "last").open("wb") as file:
        file.truncate(2**40)
    with Running("verify", folder) as verifying:
        assert until(lambda: bool(cursors()))
        verifying.kill()
    (folder / "last").unlink()
    done = pirate("verify", folder, "--restart", "--json")
    assert json.loads(done.out.splitlines()[-1])["files"] == 1000
    assert cursors() == []


def test_what_a_serve_has_noted_is_compared_while_it_runs(place: Path) -> None:
    folder = fill(place / "s", {"a": bytes(200_000), "b": b"b"})
    for name in ("a", "b"):
        os.utime(folder / name, (1, 1))
    with Serving(folder, "--rescan", "100ms"):
        # Young files are not noted at once.
        assert until(lambda: "2 files as they were" in pirate("verify", folder).err)
        rot(folder / "a", 70_000)
        done = pirate("verify", folder)
    assert (done.code, done.out) == (6, f"{folder}/a\n")
    assert "segment 1 of 4, bytes 65536 to 131071" in done.err


def test_a_terminal_has_a_bar_and_the_bad_files_above_it(place: Path) -> None:
    folder = fill(place / "s", {"a": bytes(200_000), "b\x1b[1m": b"b"})
    rot(folder / "b\x1b[1m", 0)
    code, seen = shown("verify", folder)
    assert code == 6
    assert "pirate: integrity: " in seen
    assert "b\\x1b[1m has rotted" in seen
    assert "verify" in seen
    assert "1 rotten; " in seen


def test_nothing_is_left_by_who_verifies_but_what_is_remembered(place: Path) -> None:
    folder = fill(place / "s", {"a": b"a"})
    before = (folder / "a").stat()
    assert pirate("verify", folder).code == 0
    assert (folder / "a").stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in folder.iterdir()] == ["a"]
