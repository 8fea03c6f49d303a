"""What processes remember: who they are, and whom they knew."""

import json
import shutil
import signal
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from etcd_server import EtcdServer
from honest import NEVER, dialer
from processes.network import LARGE, TTL, fill, known, sha1
from processes.peers import Running, Serving, pirate, until

from pirate.disk.identity import running
from pirate.disk.state import State
from pirate.model import Address, Peer
from pirate.registry.etcd import EtcdRegistry
from pirate.scope import Stop

OFTEN = ("--ttl", f"{TTL}s")


@pytest.fixture(name="own")
def _own(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Run an etcd that the test may kill."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


def introduced(address: Address) -> str:
    """The peer id by which a server introduces itself."""
    with (
        closing(dialer()) as dial,
        dial.talk(Peer((address,)), NEVER, Stop()) as conversation,
    ):
        return str(conversation.peer.peer)


def announced(etcd: Address) -> set[str]:
    """The ids of the peers that etcd knows."""
    with closing(EtcdRegistry((etcd,))) as registry:
        return {str(peer.id) for peer in registry.peers(NEVER)}


def test_a_get_that_starts_while_etcd_is_dead_finds_its_file(place: Path, own: EtcdServer) -> None:
    etcd = ("--etcd", own.address)
    digest = sha1(LARGE["large.bin"])
    with Serving(fill(place / "alpha", LARGE), *etcd, *OFTEN):
        assert until(lambda: "large.bin" in pirate("ls", *etcd).out)
        own.kill()
        got = pirate("get", digest, "-d", place / "got", *etcd)
        assert got.code == 0, got.err
        assert (place / "got" / "large.bin").read_bytes() == LARGE["large.bin"]
        assert got.seconds < 10.0
        peers = pirate("peers", "--json", *etcd)
        told = json.loads(peers.out)
        assert (told["stale"], told["registry"]["ok"]) == (True, False)
        assert 0 < told["registry"]["age_s"] < 60
        assert [row["name"] for row in told["peers"]] == ["alpha"]


def test_a_serve_that_starts_while_etcd_is_dead_knows_whom_it_knew(
    place: Path, own: EtcdServer
) -> None:
    flags = ("--etcd", own.address, *OFTEN)
    with Serving(fill(place / "alpha", LARGE), *flags) as alpha:
        with Serving(fill(place / "beta", {}), *flags) as beta:
            assert until(lambda: len(known(beta).announcements) == 2)
            beta.stopped_by(signal.SIGTERM)
        own.kill()
        with Serving(fill(place / "beta", {}), *flags) as beta:
            assert until(lambda: len(known(beta).announcements) == 2)
            remembered = known(beta)
            assert remembered.stale
            assert alpha.address in {one.addresses[0] for one in remembered.announcements}


def test_serves_are_who_they_were_and_commands_know_where_they_run(place: Path) -> None:
    state = State(str(place / "state"))
    flags = ("--state", place / "state")
    runs = []
    for _ in range(2):
        with ExitStack() as stack:
            serving = [
                stack.enter_context(Serving(fill(place / name, {}), *flags)) for name in ("a", "b")
            ]
            assert until(lambda: running(state) == [one.address for one in serving])  # noqa: B023
            runs.append([introduced(one.address) for one in serving])
            serving[0].stopped_by(signal.SIGTERM)
            assert running(state) == [serving[1].address]
        assert running(state) == [], "killed"
    assert runs[0] == runs[1]
    assert len({*runs[0]}) == 2


def test_a_machine_that_was_copied_takes_a_new_id_and_keeps_that(
    place: Path, own: EtcdServer
) -> None:
    flags = ("--etcd", own.address, *OFTEN)
    with Serving(fill(place / "a", {}), *flags, "--state", place / "one") as first:
        old = introduced(first.address)
        assert until(lambda: announced(own.address) == {old})
        shutil.copytree(place / "one", place / "two")
        (place / "two" / "serving").unlink()
        with Serving(fill(place / "b", {}), *flags, "--state", place / "two") as second:
            assert until(lambda: len(announced(own.address)) == 2)
            assert introduced(first.address) == old
            new = introduced(second.address)
            assert announced(own.address) == {old, new}
            warning = second.stopped_by(signal.SIGTERM).err
        assert old in warning
        assert new in warning
        assert (place / "two" / "id").read_text().strip() == new


def test_a_serve_that_can_remember_nothing_says_so_once_and_serves(place: Path) -> None:
    folder = fill(place / "a", LARGE)
    with Serving(folder, "--state", "/dev/null/state") as server:
        for _ in range(2):
            done = pirate("ls", "--peer", server.address, "--state", "/dev/null/state")
            assert (done.code, done.err) == (0, "")
        err = server.stopped_by(signal.SIGTERM).err
    assert err.count("nothing is remembered in --state '/dev/null/state': not a directory") == 1


def test_serves_that_start_at_once_are_each_somebody_else(place: Path) -> None:
    with ExitStack() as stack:
        for number in range(4):
            folder = fill(place / f"{number}", {})
            flags = ("--listen", "127.0.0.1:0", "--port-file", place / f"{number}.port")
            stack.enter_context(Running("serve", folder, *flags, "--state", place / "state"))
        ports = [place / f"{number}.port" for number in range(4)]
        assert until(lambda: all(port.exists() for port in ports), 20.0)
        ids = {introduced(Address("127.0.0.1", int(port.read_text()))) for port in ports}
    assert len(ids) == 4
