"""How serve begins: soon, whether etcd is there or not, or with one line that says why not."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from etcd_server import EtcdServer
from processes.network import TTL, fill, known
from processes.peers import Done, Running, Serving, nobody, one_line, pirate, until

LISTEN = ("--listen", "127.0.0.1:0")


def test_an_address_that_is_taken_is_exit_code_13(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = pirate("serve", place, "--listen", address)
    assert done.code == 13
    assert one_line(done, "bind")
    assert address in done.err


def test_a_folder_that_is_not_there_is_exit_code_2_and_named(place: Path) -> None:
    done = pirate("serve", place / "nowhere", *LISTEN)
    assert done.code == 2
    assert one_line(done, "usage")
    assert "nowhere" in done.err


def test_a_port_file_that_cannot_be_written_ends_serve_with_exit_code_8(place: Path) -> None:
    done = pirate("serve", place, *LISTEN, "--port-file", place / "nowhere" / "port")
    assert done.code == 8
    assert done.err.splitlines()[-1].startswith("pirate: local_io: cannot write ")


def test_serve_without_a_folder_shares_this_one_and_says_so(place: Path) -> None:
    fill(place, {"a": b"a"})
    flags = ("--port-file", "port")
    with Running("serve", *LISTEN, *flags, cwd=place) as server:
        assert until((place / "port").exists)
        done = server.stopped_by(signal.SIGTERM)
    assert f"shares 1 file (1 B) of {place} on 127.0.0.1:" in done.err


def test_serve_says_so_when_hashing_takes_long(place: Path) -> None:
    folder = fill(place / "s", {})
    for name in ("a", "b", "c", "d"):
        with (folder / name).open("wb") as file:
            file.truncate(2**40)  # of which not a byte is on the disk
    with Running("serve", folder, *LISTEN, "--port-file", place / "port") as server:
        assert server.process.stderr
        first = server.process.stderr.readline().decode()
        assert first.startswith(f"pirate: hashing {folder}; ")
        assert server.stopped_by(signal.SIGTERM).seconds < 10.0


def test_the_ready_line_of_json_comes_once_it_can_answer(place: Path, etcd: EtcdServer) -> None:
    flags = ("--etcd", etcd.address, "--json", "--name", "n")
    folder = fill(place / "s", {"a": b""})
    os.truncate(folder / "a", 2**30)  # it is announced before that is hashed
    with Running("serve", folder, *LISTEN, *flags) as server:
        assert server.process.stdout
        ready = json.loads(server.process.stdout.readline())
        asked = pirate("peers", "--peer", ready["listen"], "--json")
        found = pirate("peers", "--etcd", etcd.address, "--json")
    assert (ready["type"], ready["files"], ready["bytes"]) == ("ready", 1, 2**30)
    assert ready["registered"] is True
    assert json.loads(asked.out)["peers"][0]["id"] == ready["id"]
    assert json.loads(found.out)["peers"][0]["addr"] == ready["advertise"]


def test_serve_is_ready_soon_without_etcd_and_announced_once_it_appears(place: Path) -> None:
    later = EtcdServer(place)
    flags = ("--etcd", later.address, "--ttl", f"{TTL}s")
    with Serving(fill(place / "s", {"a": b"a"}), *flags) as server:  # it is ready
        assert pirate("ls", "--peer", server.address).code == 0
        time.sleep(1.0)
        with later:
            assert until(lambda: "s " in pirate("peers", "--etcd", later.address).out)
            assert until(lambda: not known(server).stale)  # then it says so
            lines = server.stopped_by(signal.SIGTERM).err.splitlines()
    assert [line for line in lines if "warning" in line] == [
        f"pirate: warning: lost the registry (etcd): no answer from etcd at {later.address}",
        "pirate: warning: the registry (etcd) is back",
    ]


@pytest.fixture(name="patient", scope="module")
def _patient() -> Done:
    """Ask an etcd that is not there, for as long as one does."""
    return pirate("ls", "--etcd", nobody())


def test_ls_of_an_etcd_that_is_not_there_says_so_in_one_line(patient: Done) -> None:
    assert patient.code == 4
    assert one_line(patient, "no_network")
    assert patient.seconds < 10.0


@pytest.mark.parametrize("asking", ["ls", "peers", "info", "get"])
def test_the_timeout_holds_while_etcd_does_not_answer(asking: str, patient: Done) -> None:
    words = [asking, 40 * "0"] if asking in {"info", "get"} else [asking]
    done = pirate(*words, "--etcd", nobody(), "--timeout", "500ms")
    assert done.code == 4
    assert done.seconds < patient.seconds - 1.0


def test_ls_without_any_setting_says_what_to_name() -> None:
    done = pirate("ls")
    assert done.code == 4
    assert one_line(done, "no_network")
    assert "--etcd HOST:PORT" in done.err
