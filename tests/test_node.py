"""Whole nodes in one process: static peers, a get, and the end."""

import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from fake import client
from fetch.rig import Watcher
from honest import NEVER, QUICK, SOON, dialer, digest_of, hello, some_bytes
from processes.peers import until

from pirate.config import Settings, load
from pirate.disk.identity import running as addresses_of_running
from pirate.disk.state import State
from pirate.errors import BindError, NoNetworkError, UsageError
from pirate.fetch.get import Getter
from pirate.fetch.target import IfExists, Target
from pirate.fetch.terms import Terms
from pirate.library import Library
from pirate.model import Address, Announcement, Peer, PeerId
from pirate.network import Network
from pirate.node import Node
from pirate.registry.memory import MemoryNetwork, MemoryRegistry
from pirate.registry.static import StaticRegistry
from pirate.roster import Roster
from pirate.scanning import Progress
from pirate.scope import Scope, Stop
from pirate.wire.messages import UNKNOWN_AGE, Read, Stat, Status, decode
from pirate.wire.messages import State as StateMessage

CONTENT = some_bytes(500_000)
DIGEST = digest_of(CONTENT)


def settings(**flags: object) -> Settings:
    defaults = {"listen": "127.0.0.1:0", "drain": "1s", "discovery": "static"}
    return load({**defaults, **flags}, {}, os.devnull)


@contextmanager
def running(folder: Path, **flags: object) -> Iterator[Node]:
    folder.mkdir(exist_ok=True)
    node = Node(settings(**flags), (str(folder),))
    with Scope() as scope:
        node.start(scope)
        assert node.wait_until_ready(scope.stop)
        yield node


def test_a_file_goes_from_one_node_to_whoever_names_it_as_a_peer(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(CONTENT)
    with (
        running(tmp_path / "a", name="a") as a,
        running(tmp_path / "b", name="b") as b,
        Network(settings(peers=[str(a.listen), str(b.listen)])) as network,
        Target(str(tmp_path / "c"), (), None, IfExists.FAIL) as target,
    ):
        terms = Terms(network.dialer, Watcher(), NEVER, Stop())
        _, received = Getter(network.peers, terms).to_target(DIGEST, target)
    assert (tmp_path / "c" / "file").read_bytes() == CONTENT
    assert {peer.name: count for peer, count in received.sources.items()} == {"a": len(CONTENT)}


def test_nodes_find_each_other_in_a_registry_without_themselves(tmp_path: Path) -> None:
    memory = MemoryNetwork()
    with running(tmp_path / "a", name="a") as a, running(tmp_path / "b", name="b") as b:
        for node in (a, b):
            MemoryRegistry(memory).announce(node.announcement(), NEVER)
        roster = Roster(MemoryRegistry(memory), me=a.hello.peer)
        [peer] = roster.refresh(NEVER).peers
        assert (peer.id, peer.name, peer.addresses) == (b.hello.peer, "b", (b.listen,))


def test_an_announcement_tells_what_is_shared_now(tmp_path: Path) -> None:
    with running(tmp_path / "a", name="a", rescan="1h") as node:
        before = node.announcement()
        assert (before.files, before.size, before.name) == (0, 0, "a")
        (tmp_path / "a" / "file").write_bytes(CONTENT)
        node.library.rescan()
        end = time.monotonic() + SOON
        while not (after := node.announcement()).files and time.monotonic() < end:
            Stop().wait(0.01)
        assert (after.files, after.size) == (1, len(CONTENT))
        assert after.revision != before.revision
        assert isinstance(after.id, PeerId)
        assert after.addresses == (node.listen,)


def test_a_node_tells_whom_it_knows_and_itself(tmp_path: Path) -> None:
    with (
        running(tmp_path / "a", name="a") as a,
        running(tmp_path / "b", name="b") as b,
        closing(dialer()) as dial,
    ):
        memory = MemoryNetwork()
        MemoryRegistry(memory).announce(b.announcement(), NEVER)
        a.roster._registry = MemoryRegistry(memory)
        a.roster.refresh(NEVER)
        with dial.talk(Peer((a.listen,)), NEVER, Stop()) as conversation:
            known = conversation.peers(NEVER)
    assert {one.id for one in known.announcements} == {a.hello.peer, b.hello.peer}
    assert known.age < SOON
    assert not known.stale


def test_a_known_peer_that_comes_from_where_it_is_not_announced_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pirate.serve")
    home = (Address("10.0.0.7", 7070),)
    peer = Peer.announced(Announcement(hello("client").peer, "anne", home, "1"))
    monkeypatch.setattr(Roster, "peers", (peer,))
    with running(tmp_path / "a") as node, client(node.listen) as line:
        line.send(Stat(DIGEST).frame(1))
        line.frame()
    assert "anne comes from 127.0.0.1 and announces 10.0.0.7:7070" in caplog.messages


def test_a_node_with_guests_ends_at_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with running(tmp_path / "a") as node:
            for introduced in (True, False):
                line = stack.enter_context(client(node.listen, introduced=introduced))
            line.frame()
            began = time.monotonic()
        assert time.monotonic() - began < QUICK


def test_a_stop_before_the_first_scan_is_done_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    node = Node(settings(), (str(tmp_path / "a"),))
    stop = Stop()
    stop.set()
    assert not node.wait_until_ready(stop)
    with Scope(stop) as scope:
        node.start(scope)


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match="in use"):
            Node(settings(listen=f"127.0.0.1:{port}"), (str(tmp_path),))


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no.such.host.invalid:0"])
def test_an_address_that_is_not_ours_is_told(tmp_path: Path, address: str) -> None:
    with pytest.raises(BindError):
        Node(settings(listen=address), (str(tmp_path),))


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone"):
        Node(settings(), (str(tmp_path / "gone"),))


def test_what_can_be_said_of_nobody_is_told_apart() -> None:
    with Network(settings()) as network, pytest.raises(NoNetworkError, match="named"):
        network.peers()
    with Network(settings(peers=["127.0.0.1:1"])) as network:
        assert [str(peer) for peer in network.peers()] == ["127.0.0.1:1"]


def test_of_several_searches_each_hears_of_places_that_another_has_opened() -> None:
    with Network(settings(peers=["127.0.0.1:1"])) as network:
        network._places = deque([[lambda: StaticRegistry(())], [lambda: StaticRegistry(())]])
        one, other = network.widening(), network.widening()
        assert one()
        assert other()
        assert len(network._places) == 1
        assert other()
        assert not network._places
        assert one()
        assert not one()
        assert not other()
        assert not network.widening()()


def test_scans_are_rarer_while_all_changes_are_told(tmp_path: Path) -> None:
    with running(tmp_path / "a") as node:
        assert until(lambda: node.library._rescan == 300.0)  # so its own watch has told
        for complete, seconds in ((True, 300.0), (False, 30.0)):
            node._watched(complete)
            assert node.library._rescan == seconds
    with running(tmp_path / "b", rescan="1h") as node:
        node._watched(False)
        assert node.library._rescan == 3600.0
    with running(tmp_path / "c", watch="no") as node:
        assert node._watch is None
        assert node.library._rescan == 30.0


def test_where_there_is_no_inotify_a_node_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pirate.node")
    monkeypatch.setitem(sys.modules, "inotify_simple", None)
    for name in ("pirate.disk.watch", "pirate.disk.inotify"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with running(tmp_path / "a") as node:
        assert node._watch is None
    assert caplog.text.count("there is no inotify here") == 1


def test_a_command_asks_the_serve_of_its_machine_unless_it_is_told_not_to(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    quiet = {"discovery": "auto", "interfaces": ["127.0.0.1"], "state": state}
    with running(tmp_path / "a", name="a", state=state):
        with Network(settings(**quiet)) as network:
            assert [peer.via for peer in network.everybody()] == [("serve",)]
            assert network.kind == "serve"
        with Network(settings(**quiet), refresh=True) as network:
            network.widen()
            assert network.kind == "mdns"


def test_a_serve_is_found_and_tells_how_it_is_while_it_still_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "scan", lambda _, stop, __: stop.wait())
    state = str(tmp_path / "state")
    node = Node(settings(state=state), (str(tmp_path),))
    with Scope() as scope, closing(dialer()) as dial:
        node.start(scope)
        [address] = addresses_of_running(State(state))
        with dial.talk(Peer((address,)), NEVER, Stop()) as conversation:
            told = conversation.state(NEVER)
            assert (told.ready, told.files, told.transfers) == (0, 0, 0)
            monkeypatch.setattr(Library, "progress", Progress(1, 2, 10, 30))
            told = conversation.state(NEVER)
    assert (told.hashed_files, told.files_to_hash) == (1, 2)
    assert (told.hashed_bytes, told.bytes_to_hash) == (10, 30)


def test_a_node_tells_its_own_machine_how_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(CONTENT)
    with running(tmp_path / "a", name="a") as node, client(node.listen) as line:
        for number, length in ((1, 1000), (2, 10)):
            line.send(Read(DIGEST, 0, length).frame(number))
            assert line.frame()[0].length == length
        line.send(Status().frame(3))
        told = decode(*line.frame())
    assert isinstance(told, StateMessage)
    assert (told.pid, told.listen, told.sent) == (os.getpid(), str(node.listen), 1010)
    assert (told.ready, told.files, told.size) == (1, 1, len(CONTENT))
    assert told.folders == (str(tmp_path / "a"),)
    assert told.addresses == (str(node.listen),)
    assert (told.registry, told.problem, told.announced, told.peers) == ("", "", 0, 0)
    assert abs(told.started - time.time()) < SOON


def test_a_lost_registry_and_untold_changes_are_part_of_how_a_node_is(tmp_path: Path) -> None:
    with running(tmp_path / "a") as node:
        network = MemoryNetwork()
        network.down = True
        node.roster._registry = MemoryRegistry(network)
        node.roster.refresh(NEVER)
        assert until(lambda: bool(node.state().watching))  # so its own watch has told
        for complete in (True, False):
            node._watched(complete)
            assert node.state().watching == complete
        told = node.state()
        assert (told.registry, told.problem) == ("memory", str(node.roster.problem))
        assert told.age < UNKNOWN_AGE


def test_after_a_clash_a_node_is_somebody_else_to_all(tmp_path: Path) -> None:
    with running(tmp_path / "a") as node:
        before = node.hello.peer
        node._clashed()
        assert node.hello.peer != before
        seen_by_guests = node.greeting(Address("127.0.0.1", 1)).peer
        seen_by_hosts = node._dialer.hello.peer
        assert seen_by_guests == seen_by_hosts == node.announcement().id == node.hello.peer
