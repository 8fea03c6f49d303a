import threading
from collections.abc import Callable

import pytest
from registry.rigs import announcement

from pirate.deadline import Deadline
from pirate.errors import ClashError, RegistryError
from pirate.model import Address, Announcement, Peer
from pirate.registry.memory import MemoryNetwork, MemoryRegistry
from pirate.registry.static import StaticRegistry
from pirate.registry.union import UnionRegistry, merge

SOON = 20.0
ELSEWHERE = Address("127.0.0.99", 7070)


class Slow:
    """A registry that fails, once another one has been asked."""

    kind = "slow"
    problem = None

    def __init__(self, other: "Hurried") -> None:
        self._other = other

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:  # noqa: ARG002
        self._fail(deadline)

    def withdraw(self, deadline: Deadline) -> None:
        self._fail(deadline)

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        self._fail(deadline)
        return ()

    def watch(self, changed: Callable[[], None]) -> None:
        pass

    def close(self) -> None:
        pass

    def _fail(self, deadline: Deadline) -> None:
        assert self._other.asked.wait(deadline.left)
        raise RegistryError("slow")


class Hurried(MemoryRegistry):
    """Notes that it is asked."""

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__(network)
        self.asked = threading.Event()

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        self.asked.set()
        return super().peers(deadline)


@pytest.fixture
def networks() -> tuple[MemoryNetwork, MemoryNetwork]:
    return MemoryNetwork(), MemoryNetwork()


@pytest.fixture
def union(networks: tuple[MemoryNetwork, MemoryNetwork]) -> UnionRegistry:
    parts = tuple(MemoryRegistry(network) for network in networks)
    return UnionRegistry(*parts, StaticRegistry((ELSEWHERE,)))


def names(peers: tuple[Peer, ...]) -> set[str]:
    return {str(peer) for peer in peers}


def test_its_kind_names_its_parts(union: UnionRegistry) -> None:
    assert union.kind == "memory+memory+static"


def test_every_part_gets_the_announcement_and_the_withdrawal(
    union: UnionRegistry, networks: tuple[MemoryNetwork, MemoryNetwork]
) -> None:
    union.announce(announcement(1), Deadline(SOON))
    assert [network.announcements() for network in networks] == [(announcement(1),)] * 2
    union.withdraw(Deadline(SOON))
    assert [network.announcements() for network in networks] == [()] * 2


def test_a_failed_part_is_told_though_the_others_have_announced(
    union: UnionRegistry, networks: tuple[MemoryNetwork, MemoryNetwork]
) -> None:
    networks[0].down = True
    with pytest.raises(RegistryError, match="down"):
        union.announce(announcement(1), Deadline(SOON))
    assert networks[1].announcements() == (announcement(1),)


def test_a_clash_in_one_part_is_a_clash(networks: tuple[MemoryNetwork, MemoryNetwork]) -> None:
    class Clashing(MemoryRegistry):
        def announce(self, announcement: Announcement, deadline: Deadline) -> None:  # noqa: ARG002
            raise ClashError("another has this id")

    networks[0].down = True
    union = UnionRegistry(MemoryRegistry(networks[0]), Clashing(networks[1]))
    with pytest.raises(ClashError, match="another"):
        union.announce(announcement(1), Deadline(SOON))


def test_peers_of_all_parts_are_listed_once(
    union: UnionRegistry, networks: tuple[MemoryNetwork, MemoryNetwork]
) -> None:
    networks[0].put(announcement(1), ttl=9)
    networks[1].put(announcement(1), ttl=9)
    networks[1].put(announcement(2), ttl=9)
    listed = [str(peer) for peer in union.peers(Deadline(SOON))]
    assert sorted(listed) == ["127.0.0.99:7070", "n1 (127.0.0.1:7070)", "n2 (127.0.0.2:7070)"]


def test_a_named_peer_that_is_announced_as_well_is_one_peer() -> None:
    announced = Peer.announced(announcement(1))
    assert merge(((Peer(announced.addresses),), (announced,))) == (announced,)


def test_a_part_that_fails_stands_for_what_it_said_last(
    union: UnionRegistry, networks: tuple[MemoryNetwork, MemoryNetwork]
) -> None:
    networks[0].put(announcement(1), ttl=9)
    before = union.peers(Deadline(SOON))
    networks[0].down = True
    networks[1].put(announcement(2), ttl=9)
    after = union.peers(Deadline(SOON))
    assert names(after) - names(before) == {"n2 (127.0.0.2:7070)"}
    assert names(before) < names(after)
    assert "down" in str(union.problem)


def test_the_problem_ends_when_all_parts_answer(
    union: UnionRegistry, networks: tuple[MemoryNetwork, MemoryNetwork]
) -> None:
    networks[0].down = True
    union.peers(Deadline(SOON))
    networks[0].down = False
    union.peers(Deadline(SOON))
    assert union.problem is None


def test_the_problem_of_a_part_that_answers_all_the_same_is_told(
    networks: tuple[MemoryNetwork, MemoryNetwork],
) -> None:
    class Forgetful(MemoryRegistry):
        problem: RegistryError | None = RegistryError("lost us")

    union = UnionRegistry(Forgetful(networks[0]), MemoryRegistry(networks[1]))
    assert union.peers(Deadline(SOON)) == ()
    assert str(union.problem) == "lost us"


def test_only_when_every_part_fails_there_is_no_listing(
    networks: tuple[MemoryNetwork, MemoryNetwork],
) -> None:
    union = UnionRegistry(*(MemoryRegistry(network) for network in networks))
    for network in networks:
        network.down = True
    with pytest.raises(RegistryError, match=r"down.*; .*down"):
        union.peers(Deadline(SOON))


def test_a_slow_part_takes_no_time_from_the_others() -> None:
    hurried = Hurried(MemoryNetwork())
    union = UnionRegistry(Slow(hurried), Slow(hurried), hurried)
    assert union.peers(Deadline(SOON)) == ()
    assert "slow" in str(union.problem)


def test_a_peer_tells_by_which_ways_it_was_found() -> None:
    announced = Peer.announced(announcement(1), "etcd")
    again = Peer.announced(announcement(1), "mdns")
    named = Peer(announced.addresses, via=("static",))
    alone = Peer((Address("127.0.0.9", 7070),), via=("static",))
    ways = {str(peer): peer.via for peer in merge(((named, alone), (announced,), (again,)))}
    assert ways == {
        "n1 (127.0.0.1:7070)": ("etcd", "mdns", "static"),
        "127.0.0.9:7070": ("static",),
    }
