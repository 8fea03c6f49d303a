"""What the doctor finds, and how it says it."""

import resource
import socket
from pathlib import Path

import pytest
from cli.calling import Done, Pirate
from cli.schemas import faults

from pirate.cli.checks import machine
from pirate.cli.checks.finding import State
from pirate.cli.checks.others import _host
from pirate.model import Address, Announcement, PeerId


def states(done: Done) -> dict[str, str]:
    return {row["check"]: row["state"] for row in done.last["checks"]}


def test_alone_on_a_network_all_but_the_company_is_well(pirate: Pirate) -> None:
    done = pirate("doctor", "--json", "--listen", "127.0.0.1:0", "--peer", "127.0.0.1:1")
    assert not faults(done.last)
    found = states(done)
    assert found.pop("peers") == "problem"
    assert set(found.values()) <= {"ok", "warning"}
    assert done.code == 4
    assert {"settings", "port", "folder", "descriptors", "hashing", "clock"} <= set(found)


def test_each_trouble_comes_with_one_thing_to_do(pirate: Pirate) -> None:
    done = pirate("doctor", "--listen", "127.0.0.1:0", "--peer", "127.0.0.1:1")
    lines = done.out.splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith("PROBLEM")]
    assert "127.0.0.1:1" in lines[at]
    assert lines[at + 1].startswith(" " * 21)
    assert done.says("no_network")


def test_a_port_that_is_taken_is_a_problem(pirate: Pirate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = pirate("doctor", "--json", "--listen", listen, "--discovery", "none")
    assert states(done)["port"] == "problem"


def test_a_dead_etcd_is_a_problem(pirate: Pirate) -> None:
    etcd = ("--discovery", "etcd", "--etcd", "127.0.0.1:1")
    done = pirate("doctor", "--json", "--listen", "127.0.0.1:0", *etcd)
    assert not faults(done.last)
    assert states(done)["etcd"] == "problem"
    assert done.code == 4


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    assert machine.folder("folder", str(tmp_path)).state is State.OK
    missing = machine.folder("folder", str(tmp_path / "gone"))
    assert missing.state is State.PROBLEM
    assert "gone" in missing.found
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST_ROOM", 2**62)
    assert machine.folder("folder", str(tmp_path)).state is State.WARNING


def test_few_descriptors_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert machine.descriptors().state is State.WARNING


def test_a_peer_from_the_future_tells_of_a_wrong_clock() -> None:
    def began(at: float) -> Announcement:
        here = (Address("127.0.0.1", 1),)
        return Announcement(PeerId(bytes(16)), "n", here, "1", started=at)

    assert machine.clock([began(0.0)]).state is State.OK
    assert machine.clock([began(4e9)]).state is State.WARNING


def test_verifying_in_one_piece_only_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.hashing().state is not State.PROBLEM
    monkeypatch.setattr("pirate.disk.sha1.available", lambda: False)
    assert machine.hashing().state is State.WARNING


@pytest.mark.parametrize(
    ("seen", "host"),
    [
        ("10.0.0.7:51234", "10.0.0.7"),
        ("[fd00::7]:51234", "fd00::7"),
        ("", ""),
        ("[::1", ""),
        ("a:b:c", ""),
        ("local:0", ""),
        ("--advertise=evil; rm -rf /:1", ""),
    ],
)
def test_what_a_peer_says_it_sees_us_at_may_be_anything(seen: str, host: str) -> None:
    assert _host(seen) == host
