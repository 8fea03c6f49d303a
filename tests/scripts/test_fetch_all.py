import fcntl
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.conftest import SCRIPT_SECONDS, Run

from pirate.chain import LEAST_SEGMENT

FILES = {
    "a.txt": b"one\n",
    "below/b.bin": bytes(range(256)) * 4096,
    "below/deeper/it's with spaces.txt": b"three\n",
    "copy of a.txt": b"one\n",
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture(name="peer")
def _peer(tmp_path: Path, folder: Path, run: Run) -> Iterator[str]:
    """Run a peer that shares the folder; its address."""
    state = tmp_path / "state"
    done = run("scripts/start-peer", "--state", state, folder, "--listen", "127.0.0.1:0")
    assert done.returncode == 0, done.stderr
    yield f"127.0.0.1:{(state / 'port').read_text().strip()}"
    run("scripts/start-peer", "--state", state, "--stop")


def found(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_everything_arrives_under_its_name(run: Run, peer: str, tmp_path: Path) -> None:
    mirror = tmp_path / "new" / "mirror"
    done = run("scripts/fetch-all", peer, mirror)
    assert done.returncode == 0, done.stderr
    assert found(mirror) == FILES
    assert len(done.stdout.splitlines()) == len(FILES)


def test_a_second_run_fetches_only_what_is_missing(run: Run, peer: str, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    run("scripts/fetch-all", peer, mirror)
    (mirror / "below" / "b.bin").unlink()
    done = run("scripts/fetch-all", peer, mirror, "--json")
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    received = {report["path"]: report["received_bytes"] for report in reports if "path" in report}
    assert received.pop(str(mirror / "below" / "b.bin")) == len(FILES["below/b.bin"])
    assert set(received.values()) == {0}
    assert found(mirror) == FILES


def test_an_interrupted_file_goes_on_where_it_stopped(run: Run, peer: str, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    (mirror / "below").mkdir(parents=True)
    content = FILES["below/b.bin"]
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    (mirror / "below" / f".{sha1}.pirate-part").write_bytes(content[: LEAST_SEGMENT + 1000])
    done = run("scripts/fetch-all", peer, mirror, "--json")
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    [resumed] = [
        report["resumed_bytes"]
        for report in reports
        if report.get("sha1") == sha1 and "path" in report
    ]
    assert resumed == LEAST_SEGMENT
    assert found(mirror) == FILES


def test_its_exit_code_says_that_some_are_missing(run: Run, peer: str, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "a.txt").write_text("the user's own\n")
    done = run("scripts/fetch-all", peer, mirror)
    assert done.returncode == 11
    assert f"fetch-all: only a part of {peer} is in {mirror}" in done.stderr
    assert found(mirror) == FILES | {"a.txt": b"the user's own\n"}


def test_a_peer_that_is_not_there_is_no_empty_peer(run: Run, tmp_path: Path) -> None:
    done = run("scripts/fetch-all", "127.0.0.1:1", tmp_path / "mirror")
    assert done.returncode == 4
    assert done.stderr.startswith("pirate: ")
    assert done.stdout == ""


def test_a_peer_without_files_is_a_success(
    run: Run, folder: Path, peer: str, tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    os.kill(int((tmp_path / "state" / "pid").read_text()), signal.SIGHUP)
    until = time.monotonic() + SCRIPT_SECONDS
    while (done := run("scripts/fetch-all", peer, mirror)).stdout and time.monotonic() < until:
        time.sleep(0.05)
    done = run("scripts/fetch-all", peer, tmp_path / "other")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert found(tmp_path / "other") == {}


def test_two_do_not_work_on_one_folder(run: Run, peer: str, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    other = os.open(mirror, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = run("scripts/fetch-all", peer, mirror)
    finally:
        os.close(other)
    assert done.returncode == 12
    assert "another fetch-all works on" in done.stderr
    assert found(mirror) == {}


def test_it_says_how_it_is_used(run: Run) -> None:
    done = run("scripts/fetch-all", "127.0.0.1:7070")
    assert done.returncode == 2
    assert "usage:" in done.stderr
