"""Who a serve is after a restart, beside another one, and after garbage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pirate.disk.identity import MOST, Identity, running
from pirate.disk.state import State
from pirate.model import Address

HERE, THERE = Address("127.0.0.1", 7070), Address("::1", 7071)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(name="state")
def _state(folder: Path) -> State:
    return State(str(folder))


def test_an_id_outlives_its_process(state: State) -> None:
    with Identity(state) as first:
        pass
    with Identity(state) as second:
        assert second.peer == first.peer


def test_several_at_once_each_keep_their_own(state: State) -> None:
    for _ in range(2):
        with Identity(state) as first, Identity(state) as second, Identity(state) as third:
            ids = [first.peer, second.peer, third.peer]
    assert len({*ids}) == 3
    with Identity(state) as alone:
        assert alone.peer == ids[0]
    assert sorted(state.names()) == ["id", "id.2", "id.3"]


def test_whoever_is_one_too_many_is_new_each_time(state: State) -> None:
    identities = [Identity(state) for _ in range(MOST)]
    with Identity(state) as first:
        first.serving(HERE)
    with Identity(state) as second:
        assert len({first.peer, second.peer, *(one.peer for one in identities)}) == MOST + 2
    assert running(state) == []
    for identity in identities:
        identity.__exit__()


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff" * 50, b"0" * 31, b"0" * 34, b"g" * 32, b"0" * 5000, "é".encode() * 16]
)
def test_garbage_is_replaced(state: State, folder: Path, garbage: bytes) -> None:
    state.write("id", garbage)
    with Identity(state) as identity:
        assert len(identity.peer) == 16
    assert (folder / "id").read_text().strip() == str(identity.peer)
    with Identity(state) as again:
        assert again.peer == identity.peer


def test_a_new_id_is_kept_too(state: State) -> None:
    with Identity(state) as identity:
        old = identity.peer
        assert identity.renew() == identity.peer != old
    with Identity(state) as again:
        assert again.peer == identity.peer


def test_without_a_folder_everybody_is_somebody_new() -> None:
    state = State("/dev/null/state")
    with Identity(state) as first, Identity(state) as second:
        first.serving(HERE)
        assert first.peer != second.peer != first.renew()
    assert running(state) == []


def test_who_serves_is_found_while_it_runs(state: State, folder: Path) -> None:
    assert running(state) == []
    with Identity(state) as first, Identity(state) as second:
        assert running(state) == []
        second.serving(THERE)
        assert running(State(str(folder))) == [THERE]
        first.serving(HERE)
        assert running(state) == [HERE, THERE]
    assert running(state) == []
    assert sorted(state.names()) == ["id", "id.2"]


def test_who_was_killed_is_believed_no_more(state: State, folder: Path) -> None:
    script = (
        "import os, sys\n"
        "from pirate.disk.identity import Identity\n"
        "from pirate.disk.state import State\n"
        "from pirate.model import Address\n"
        "identity = Identity(State(sys.argv[1]))\n"
        "identity.serving(Address('127.0.0.1', 7070))\n"
        "print('there', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"there\n"
        assert running(state) == [HERE]
        process.kill()
    assert "serving" in state.names()
    assert running(state) == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff",
        b"127.0.0.1:7070",
        b"127.0.0.1:7070 elsewhere.example",
        b"127.0.0.1 " + os.uname().nodename.encode(),
        b"127.0.0.1:99999 " + os.uname().nodename.encode(),
        b"x " * 5000,
    ],
)
def test_garbage_or_another_machine_is_no_address(state: State, garbage: bytes) -> None:
    with Identity(state):
        for name in ("serving", "serving.", "serving.x", "serving.2"):
            state.write(name, garbage)
        assert running(state) == []
