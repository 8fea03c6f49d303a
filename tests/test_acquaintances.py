"""Peers that are known to nobody but to the one that they name."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from honest import NEVER, SOON, dialer
from processes.peers import nobody

from pirate.acquaintances import CALLER_SECONDS, CALLERS, Acquaintances, Home
from pirate.config import load
from pirate.deadline import Deadline
from pirate.model import Address, Announcement, PeerId
from pirate.net.dial import Dialer
from pirate.node import Node
from pirate.roster import Heartbeat
from pirate.scope import Scope


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is there has the time to answer."""
    monkeypatch.setattr("pirate.acquaintances.ASK_SECONDS", SOON)


@pytest.fixture
def client() -> Iterator[Dialer]:
    with closing(dialer(stall=SOON)) as each:
        yield each


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Node]:
    """A node that nobody announces, and that names nobody."""
    flags = {"listen": "127.0.0.1:0", "drain": "1s", "discovery": "static", "name": "hub"}
    (tmp_path / "hub").mkdir()
    node = Node(load(flags, {}, os.devnull), (str(tmp_path / "hub"),))
    with Scope() as scope:
        node.start(scope)
        assert node.wait_until_ready(scope.stop)
        yield node


def names(registry: Acquaintances) -> dict[str, tuple[str, ...]]:
    return {peer.name: peer.via for peer in registry.peers(NEVER)}


def here(number: int) -> Announcement:
    """An announcement at an address of this machine."""
    number_bytes = number.to_bytes(PeerId.SIZE)
    return Announcement(PeerId(number_bytes), f"n{number}", (Address("127.0.0.1", 7070),), "1.0.0")


def test_two_that_name_the_same_one_find_each_other(hub: Node, client: Dialer) -> None:
    with ExitStack() as stack:
        anne, bess = (
            stack.enter_context(closing(Acquaintances(client, (hub.listen,)))) for _ in range(2)
        )
        anne.announce(here(1), NEVER)
        assert names(anne) == {"hub": ("peer",)}
        hub.heartbeat.poke()
        hub.roster.refresh(NEVER)
        assert names(bess) == {"hub": ("peer",), "n1": ("peer",)}


def test_who_has_called_is_known_until_it_has_not_called_for_long(client: Dialer) -> None:
    clock = Time()
    registry = Acquaintances(client, clock=clock)
    registry.heard(here(1), "127.0.0.1")
    clock.now += CALLER_SECONDS / 2
    registry.heard(here(2), "127.0.0.1")
    assert names(registry) == {"n1": ("caller",), "n2": ("caller",)}
    clock.now += CALLER_SECONDS / 2
    assert names(registry) == {"n2": ("caller",)}


def test_a_caller_that_announces_another_host_than_its_own_is_not_believed(
    client: Dialer,
) -> None:
    registry = Acquaintances(client)
    registry.heard(here(1), "127.0.0.2")
    assert names(registry) == {}


def test_callers_are_bounded_and_the_oldest_makes_room(client: Dialer) -> None:
    registry = Acquaintances(client)
    for number in range(CALLERS + 2):
        registry.heard(here(number), "127.0.0.1")
    known = names(registry)
    assert len(known) == CALLERS
    assert "n1" not in known
    assert f"n{CALLERS + 1}" in known


def test_a_named_peer_that_does_not_answer_has_nothing_to_tell(client: Dialer) -> None:
    registry = Acquaintances(client, (nobody(),))
    registry.heard(here(1), "127.0.0.1")
    assert [peer.name for peer in registry.peers(Deadline(SOON))] == ["n1"]


def test_a_serve_that_has_not_looked_around_yet_has_no_answer_for_its_machine(
    tmp_path: Path, client: Dialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Heartbeat, "run", lambda _, stop: stop.wait())
    flags = {"listen": "127.0.0.1:0", "drain": "1s", "discovery": "static"}
    node = Node(load(flags, {}, os.devnull), (str(tmp_path),))
    with Scope() as scope:
        node.start(scope)
        home = Home(client, (node.listen,))
        assert home.peers(Deadline(5.0)) == ()
        node.roster.refresh(Deadline(5.0))
        assert [peer.id for peer in home.peers(Deadline(5.0))] == [node.hello.peer]


def test_a_serve_of_this_machine_tells_of_itself(hub: Node, client: Dialer) -> None:
    home = Home(client, (hub.listen, nobody()))
    [served] = home.themselves(Deadline(SOON))
    assert (served.id, served.name, served.via) == (hub.hello.peer, "hub", ("serve",))
