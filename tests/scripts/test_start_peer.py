import fcntl
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from scripts.conftest import ROOT, SCRIPT_SECONDS, Run

CONTENT = b"a small file\n"


@pytest.fixture(name="state")
def _state(tmp_path: Path, run: Run) -> Iterator[Path]:
    state = tmp_path / "state"
    yield state
    run("scripts/start-peer", "--state", state, "--stop")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shared folder"
    folder.mkdir()
    (folder / "small.txt").write_bytes(CONTENT)
    return folder


def start(run: Run, state: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run("scripts/start-peer", "--state", state, *arguments, "--listen", "127.0.0.1:0")


def pid_of(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, done.stderr
    match = re.search(r"process (\d+), (127\.0\.0\.1:\d+), log ", done.stdout)
    assert match, done.stdout
    return int(match[1])


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
    return ") Z " not in stat  # nobody may have reaped it yet


def test_a_started_peer_serves_at_once(
    run: Run, state: Path, folder: Path, pirate: Path, environment: dict[str, str]
) -> None:
    done = start(run, state, folder)
    assert runs(pid_of(done))
    address = f"127.0.0.1:{(state / 'port').read_text().strip()}"
    assert address in done.stdout
    listed = subprocess.run(
        [pirate, "ls", "--on", address], env=environment, capture_output=True, text=True, check=True
    )
    assert "small.txt" in listed.stdout


def test_a_second_start_leaves_the_first_alone(run: Run, state: Path, folder: Path) -> None:
    first = pid_of(start(run, state, folder))
    second = start(run, state, folder)
    assert second.stdout.startswith("runs already:")
    assert pid_of(second) == first


def test_starts_at_the_same_time_start_one_peer(
    state: Path, folder: Path, environment: dict[str, str]
) -> None:
    command = [str(ROOT / "scripts/start-peer"), "--state", str(state), str(folder)]
    command += ["--listen", "127.0.0.1:0"]
    starts = [subprocess.Popen(command, env=environment, stdout=PIPE, text=True) for _ in range(4)]
    said = [start.communicate(timeout=SCRIPT_SECONDS)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0, 0]
    assert sum(text.startswith("started:") for text in said) == 1
    assert len({re.sub("^.*?: ", "", text) for text in said}) == 1


def test_stop_ends_it_and_may_be_repeated(run: Run, state: Path, folder: Path) -> None:
    pid = pid_of(start(run, state, folder))
    stopped = run("scripts/start-peer", "--state", state, "--stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"stopped process {pid}\n")
    assert not runs(pid)
    again = run("scripts/start-peer", "--state", state, "--stop")
    assert (again.returncode, again.stdout) == (0, f"no peer runs in {state}\n")


def test_a_killed_peer_is_started_anew(run: Run, state: Path, folder: Path) -> None:
    first = pid_of(start(run, state, folder))
    os.kill(first, signal.SIGKILL)
    while runs(first):
        time.sleep(0.01)
    second = start(run, state, folder)
    assert second.stdout.startswith("started:")
    assert pid_of(second) != first


@pytest.mark.parametrize("gone", ["before", "meanwhile"])
def test_a_killed_peer_that_still_holds_its_lock_is_waited_for(
    state: Path, folder: Path, environment: dict[str, str], pirate: Path, gone: str
) -> None:
    killed = subprocess.Popen(["sleep", "600"])
    if gone == "meanwhile":  # while it is looked at: it is there, and has no state any more
        reader = pirate.with_name("cat")
        reader.write_text("#!/bin/sh\nexit 1\n")
        reader.chmod(0o755)
    else:
        killed.kill()
        killed.wait()
    state.mkdir()
    (state / "pid").write_text(f"{killed.pid}\n")
    (state / "port").write_text("1\n")
    command = [str(ROOT / "scripts/start-peer"), "--state", str(state), str(folder)]
    with (state / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        starting = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0"], env=environment, stdout=PIPE, text=True
        )
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                starting.wait(2.0)
        finally:
            killed.kill()
            killed.wait()
    said, _ = starting.communicate(timeout=SCRIPT_SECONDS)
    assert said.startswith("started:")


def test_what_keeps_it_from_starting_is_said(run: Run, state: Path, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("scripts/start-peer", "--state", state, folder, "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert "start-peer: it ended: pirate: bind:" in done.stderr
    assert not (state / "pid").exists()


def test_a_peer_that_does_not_get_ready_is_stopped(run: Run, state: Path, pirate: Path) -> None:
    pirate.write_text("#!/bin/sh\necho it waits for ever\nexec sleep 60\n")
    done = run("scripts/start-peer", "--state", state, "--deadline", 3)  # two at least
    assert done.returncode == 1
    assert "not ready after 3 s" in done.stderr
    assert "it waits for ever" in done.stderr
    stopped = run("scripts/start-peer", "--state", state, "--stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"no peer runs in {state}\n")


@pytest.mark.parametrize("arguments", [("--deadline", "soon"), ("--deadline",), ("--state",)])
def test_wrong_arguments_are_refused(run: Run, state: Path, arguments: tuple[str, ...]) -> None:
    done = run("scripts/start-peer", "--state", state, *arguments)
    assert done.returncode == 1
    assert arguments[0] in done.stderr
