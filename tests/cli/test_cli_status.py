"""``pirate status``, and what it says of every serve of this machine."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli.calling import Done, Pirate
from cli.schemas import faults
from evil import mute
from fake import Fake
from honest import NEVER, Honest

from pirate.cli.commands import status
from pirate.config import load
from pirate.library import Library
from pirate.node import Node
from pirate.registry.memory import MemoryNetwork, MemoryRegistry
from pirate.scanning import Progress
from pirate.scope import Scope

Start = Callable[[str], Node]


@pytest.fixture(name="state")
def _state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@pytest.fixture(name="serve")
def _serve(tmp_path: Path, state: str) -> Iterator[Start]:
    """Starts a serve of that name, with a file, that is ready."""
    with ExitStack() as stack:

        def start(name: str) -> Node:
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_bytes(name.encode())
            flags = {"listen": "127.0.0.1:0", "drain": "1s", "discovery": "static"}
            given = load({**flags, "name": name, "state": state}, {}, os.devnull)
            node = Node(given, (str(tmp_path / name),))
            scope = stack.enter_context(Scope())
            node.start(scope)
            assert node.wait_until_ready(scope.stop)
            return node

        yield start


def valid(done: Done) -> bool:
    [document] = done.objects
    assert not faults(document, "status")
    assert (document["exit"], done.err) == (done.code, "")
    return True


@pytest.fixture(name="hashing")
def _hashing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Node], None]:
    """Makes it look as if the first scan of a serve were not over."""

    def hashing(node: Node) -> None:
        node.library.scanned.clear()
        monkeypatch.setattr(Library, "progress", Progress(3, 8, 1024, 4096))

    return hashing


@pytest.mark.parametrize("flags", [(), ("--check",)])
def test_where_nothing_serves_there_is_no_network(
    pirate: Pirate, state: str, flags: tuple[str, ...]
) -> None:
    done = pirate("status", *flags, "--state", state)
    assert (done.code, done.out) == (4, "")
    assert done.says("no_network")
    assert valid(pirate("status", *flags, "--state", state, "--json"))


def test_a_serve_that_is_ready_says_what_it_shares(
    pirate: Pirate, state: str, serve: Start, tmp_path: Path
) -> None:
    node = serve("anne")
    done = pirate("status", "--state", state)
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert (done.code, done.err) == (0, "")
    assert lines["name"] == f"anne ({node.hello.peer})"
    assert lines["state"] == "ready"
    assert lines["shares"] == "1 file (4 B)"
    assert lines["folder"] == str(tmp_path / "anne")
    assert lines["listens"] == str(node.listen)
    told = pirate("status", "--state", state, "--json")
    assert valid(told)
    [row] = told.last["serves"]
    assert (row["ready"], row["files"], row["bytes"]) == (True, 1, 4)
    assert (row["pid"], row["id"]) == (os.getpid(), str(node.hello.peer))
    assert "scan" not in row


def test_a_check_of_one_that_is_ready_says_nothing(
    pirate: Pirate, state: str, serve: Start
) -> None:
    serve("anne")
    assert pirate("status", "--check", "--state", state) == Done(0, "", "")
    assert valid(pirate("status", "--check", "--state", state, "--json"))


def test_one_that_still_hashes_runs_but_is_not_ready(
    pirate: Pirate, state: str, serve: Start, hashing: Callable[[Node], None]
) -> None:
    hashing(serve("anne"))
    done = pirate("status", "--state", state)
    assert done.code == 0
    assert "hashing: 3 of 8 files so far, 1.0 KiB of 4.0 KiB" in done.out
    told = pirate("status", "--state", state, "--json")
    assert valid(told)
    scan = {"files": 3, "of_files": 8, "bytes": 1024, "of_bytes": 4096}
    assert (told.last["serves"][0]["ready"], told.last["serves"][0]["scan"]) == (False, scan)
    check = pirate("status", "--check", "--state", state)
    assert (check.code, check.out) == (12, "")
    assert check.says("not_ready")
    assert valid(pirate("status", "--check", "--state", state, "--json"))


def test_every_serve_is_shown_and_all_have_to_be_ready(
    pirate: Pirate, state: str, serve: Start, hashing: Callable[[Node], None]
) -> None:
    serve("anne")
    second = serve("bonny")
    done = pirate("status", "--state", state, "--json")
    assert valid(done)
    assert [row["name"] for row in done.last["serves"]] == ["anne", "bonny"]
    assert pirate("status", "--state", state).out.count("\nstate      ready\n") == 2
    hashing(second)
    assert pirate("status", "--state", state, "--check").code == 12


def test_one_that_is_named_by_its_address_needs_no_state_folder(
    pirate: Pirate, serve: Start
) -> None:
    node = serve("anne")
    assert pirate("status", "--check", node.listen, "--state", "").code == 0
    assert pirate("status", "--state", "").code == 4
    assert pirate("status", "no port:x").code == 2


def test_one_that_is_silent_is_told_beside_those_that_answer(
    pirate: Pirate, serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "ASK_SECONDS", 2.0)
    node = serve("anne")
    with Fake(mute) as silent:
        both = (silent.address, node.listen)
        told = pirate("status", *both, "--json")
        shown = pirate("status", *both)
        assert pirate("status", "--check", *both).says("no_network")
        assert pirate("status", silent.address).says("no_network")
    assert valid(told)
    assert [row["reachable"] for row in told.last["serves"]] == [False, True]
    assert shown.code == 0
    assert f"address    {silent.address}\nstate      does not answer" in shown.out


def test_one_that_tells_nobody_is_no_surprise(pirate: Pirate, honest: Honest) -> None:
    honest.put("file", b"content")
    done = pirate("status", honest.address)
    assert done.code == 4
    assert "denied" in done.err


def test_a_registry_that_is_in_trouble_is_told(pirate: Pirate, state: str, serve: Start) -> None:
    node, network = serve("anne"), MemoryNetwork()
    network.down = True
    node.roster._registry = MemoryRegistry(network)
    node.roster.refresh(NEVER)
    done = pirate("status", "--state", state, "--json")
    assert valid(done)
    told = done.last["serves"][0]["registry"]
    assert (told["kind"], told["ok"]) == ("memory", False)
    assert told["problem"] == str(node.roster.problem)
    shown = pirate("status", "--state", state).out
    assert f" ago: {told['problem']}\n" in shown
