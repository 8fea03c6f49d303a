import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pirate.deadline import Deadline
from pirate.errors import ClashError, DeniedError
from pirate.model import HEARSAY, REMEMBERED, Address, Announcement, Known, Peer, PeerId
from pirate.registry.memory import MemoryNetwork, MemoryRegistry
from pirate.registry.static import StaticRegistry
from pirate.registry.union import UnionRegistry
from pirate.roster import Heartbeat, Roster
from pirate.scope import Scope

SOON = 20.0
TTL = 0.3


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def announcement(number: int, *, revision: int = 0) -> Announcement:
    addresses = (Address(f"127.0.0.{number}", 7070),)
    return Announcement(PeerId(bytes([number]) * 16), f"n{number}", addresses, "1.0", revision)


OURS = announcement(1)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def roster(network: MemoryNetwork, clock: FakeClock) -> Roster:
    return Roster(MemoryRegistry(network), me=OURS.id, clock=clock)


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + SOON
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return holds


# Roster


def test_before_the_first_refresh_nobody_is_known_and_the_age_is_infinite(roster: Roster) -> None:
    assert (roster.peers, roster.age, roster.problem) == ((), math.inf, None)


def test_a_refresh_finds_the_others_and_leaves_us_out(
    roster: Roster, network: MemoryNetwork
) -> None:
    network.put(OURS, TTL)
    network.put(announcement(2), TTL)
    snapshot = roster.refresh(Deadline(SOON))
    assert roster.peers == snapshot.peers == (Peer.announced(announcement(2)),)
    assert not snapshot.stale


def test_its_age_counts_from_the_last_refresh(roster: Roster, clock: FakeClock) -> None:
    roster.refresh(Deadline(SOON))
    clock.now += 7.0
    assert roster.age == 7.0


def test_what_was_known_outlives_the_registry_and_is_stale(
    roster: Roster, network: MemoryNetwork, clock: FakeClock
) -> None:
    network.put(announcement(2), TTL)
    known = roster.refresh(Deadline(SOON)).peers
    network.down = True
    clock.now += 7.0
    assert roster.refresh(Deadline(SOON)).stale
    assert (roster.peers, roster.age) == (known, 7.0)
    assert "down" in str(roster.problem)


def test_a_registry_that_is_back_makes_it_fresh(roster: Roster, network: MemoryNetwork) -> None:
    network.down = True
    roster.refresh(Deadline(SOON))
    network.down = False
    roster.refresh(Deadline(SOON))
    assert (roster.problem, roster.age) == (None, 0.0)


def test_half_an_answer_is_used_and_is_stale(network: MemoryNetwork) -> None:
    network.down = True
    named = Address("127.0.0.9", 7070)
    roster = Roster(UnionRegistry(MemoryRegistry(network), StaticRegistry((named,))))
    snapshot = roster.refresh(Deadline(SOON))
    assert [str(peer) for peer in snapshot.peers] == ["127.0.0.9:7070"]
    assert snapshot.stale
    assert roster.age == math.inf


class Heard(MemoryRegistry):
    def __init__(self, *peers: Peer) -> None:
        super().__init__(MemoryNetwork())
        self._heard = peers

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        del deadline
        return self._heard


def test_it_tells_of_us_and_of_those_who_announce_themselves_but_no_hearsay(
    roster: Roster, network: MemoryNetwork, clock: FakeClock
) -> None:
    for number in (5, 3):
        MemoryRegistry(network).announce(announcement(number), Deadline(SOON))
    roster.refresh(Deadline(SOON))
    clock.now += 7.0
    assert roster.known(announcement(4)) == Known(
        tuple(announcement(number) for number in (3, 4, 5)), 7.0, stale=False
    )
    heard = Heard(
        Peer.announced(announcement(1), HEARSAY),
        Peer.announced(announcement(2), "mdns", HEARSAY),
        Peer((Address("127.0.0.1", 1),)),
    )
    roster = Roster(heard)
    assert roster.known(announcement(4)) == Known((announcement(4),), math.inf, stale=True)
    roster.refresh(Deadline(SOON))
    told = roster.known(announcement(4)).announcements
    assert told == (announcement(2), announcement(4))


def recalling(known: Known, calls: list[Known]) -> Callable[[], Known]:
    def recall() -> Known:
        calls.append(known)
        return known

    return recall


BEFORE = Known((OURS, announcement(2), announcement(3)), age=60.0)


def test_whom_an_earlier_run_knew_is_known_until_the_registry_answers(
    network: MemoryNetwork, clock: FakeClock
) -> None:
    calls: list[Known] = []
    registry = MemoryRegistry(network)
    roster = Roster(registry, me=OURS.id, recall=recalling(BEFORE, calls), clock=clock)
    network.down = True
    for _ in range(2):
        snapshot = roster.refresh(Deadline(SOON))
        assert [(peer.name, peer.via) for peer in snapshot.peers] == [
            ("n2", (REMEMBERED,)),
            ("n3", (REMEMBERED,)),
        ]
        assert (snapshot.stale, roster.age) == (True, 60.0)
    assert len(calls) == 1
    assert not roster.refreshed.is_set()
    network.down = False
    registry.announce(announcement(4), Deadline(SOON))
    assert [peer.name for peer in roster.refresh(Deadline(SOON)).peers] == ["n4"]
    assert roster.refreshed.is_set()
    network.down = True
    clock.now += 5.0
    assert [peer.name for peer in roster.refresh(Deadline(SOON)).peers] == ["n4"]
    assert roster.age == 5.0


def test_a_registry_that_answers_needs_no_memory(network: MemoryNetwork) -> None:
    calls: list[Known] = []
    roster = Roster(MemoryRegistry(network), recall=recalling(BEFORE, calls))
    roster.refresh(Deadline(SOON))
    network.down = True
    roster.refresh(Deadline(SOON))
    assert (roster.peers, calls) == ((), [])


def test_whom_an_earlier_run_knew_joins_half_an_answer(network: MemoryNetwork) -> None:
    network.down = True
    named = announcement(2).addresses[0]
    union = UnionRegistry(MemoryRegistry(network), StaticRegistry((named,)))
    roster = Roster(union, recall=lambda: BEFORE)
    snapshot = roster.refresh(Deadline(SOON))
    assert {peer.name: peer.via for peer in snapshot.peers} == {
        "n1": (REMEMBERED,),
        "n2": (REMEMBERED, "static"),
        "n3": (REMEMBERED,),
    }
    assert snapshot.stale


def test_memory_does_not_cover_up_that_the_registry_refuses_us(network: MemoryNetwork) -> None:
    class Refusing(MemoryRegistry):
        def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
            del deadline
            raise DeniedError("who are you?")

    roster = Roster(Refusing(network), recall=lambda: BEFORE)
    assert roster.refresh(Deadline(SOON)).peers == ()


def test_a_snapshot_in_hand_does_not_change(roster: Roster, network: MemoryNetwork) -> None:
    before = roster.snapshot
    network.put(announcement(2), TTL)
    roster.refresh(Deadline(SOON))
    assert before.peers == ()
    assert roster.snapshot.peers


# Heartbeat


class Watched(MemoryRegistry):
    """Notes what is done with it, and when."""

    def __init__(self, network: MemoryNetwork, ttl: float = TTL) -> None:
        super().__init__(network, ttl)
        self.beats: list[float] = []
        self.looks = 0
        self.closed = False

    @property
    def span(self) -> float:
        """Seconds from the first heartbeat to the last."""
        return self.beats[-1] - self.beats[0]

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        self.beats.append(time.monotonic())
        super().announce(announcement, deadline)

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        self.looks += 1
        return super().peers(deadline)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def registry(network: MemoryNetwork) -> Watched:
    return Watched(network)


@contextmanager
def beating(
    registry: MemoryRegistry, says: Callable[[], Announcement] = lambda: OURS, ttl: float = TTL
) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(registry, Roster(registry), says, ttl)
    with Scope() as scope:
        scope.spawn("heartbeat", lambda: heartbeat.run(scope.stop))
        yield heartbeat


def test_it_announces_us_at_once(registry: Watched, network: MemoryNetwork) -> None:
    with beating(registry, ttl=15.0) as heartbeat:
        assert heartbeat.announced.wait(SOON)
        assert network.announcements() == (OURS,)


def test_it_keeps_us_announced_beyond_the_lease(network: MemoryNetwork) -> None:
    registry = Watched(network, ttl=2.0)
    with beating(registry):
        assert until(lambda: bool(registry.beats) and registry.span > 2.2)
        assert network.announcements() == (OURS,)


def test_it_announces_what_holds_now(registry: Watched, network: MemoryNetwork) -> None:
    now = [OURS]
    with beating(registry, lambda: now[-1]):
        now.append(announcement(1, revision=7))
        assert until(lambda: network.announcements() == (now[-1],))


def test_it_refreshes_the_roster(registry: Watched, network: MemoryNetwork) -> None:
    roster = Roster(registry, me=OURS.id)
    heartbeat = Heartbeat(registry, roster, lambda: OURS, TTL)
    with Scope() as scope:
        scope.spawn("heartbeat", lambda: heartbeat.run(scope.stop))
        network.put(announcement(2), ttl=9)
        assert until(lambda: roster.peers == (Peer.announced(announcement(2)),))


def test_others_are_seen_as_soon_as_the_registry_tells(
    registry: Watched, network: MemoryNetwork
) -> None:
    roster = Roster(registry, me=OURS.id)
    heartbeat = Heartbeat(registry, roster, lambda: OURS, 60.0)
    with Scope() as scope:
        scope.spawn("heartbeat", lambda: heartbeat.run(scope.stop))
        assert heartbeat.announced.wait(SOON)
        network.put(announcement(2), ttl=9)
        assert until(lambda: roster.peers == (Peer.announced(announcement(2)),))
        network.drop(announcement(2).id)
        assert until(lambda: roster.peers == ())
    assert len(registry.beats) == 1


def test_a_stream_of_changes_costs_ten_looks_a_second(
    registry: Watched, network: MemoryNetwork
) -> None:
    with beating(registry, ttl=60.0) as heartbeat:
        assert heartbeat.announced.wait(SOON)
        began = time.monotonic()
        while (took := time.monotonic() - began) < 1.0 or registry.looks < 2:
            network.put(announcement(2), ttl=9)
            assert took < SOON
    assert registry.looks <= 20 * max(1.0, time.monotonic() - began)
    assert len(registry.beats) == 1


def test_a_look_that_finds_the_registry_lost_is_followed_by_a_beat(
    registry: Watched, network: MemoryNetwork
) -> None:
    with beating(registry, ttl=60.0) as heartbeat:
        assert heartbeat.announced.wait(SOON)
        network.down = True
        network.wipe()
        assert until(lambda: not heartbeat.announced.is_set())
        network.down = False
        assert until(lambda: network.announcements() == (OURS,))


def test_at_the_end_it_withdraws_and_closes(registry: Watched, network: MemoryNetwork) -> None:
    with beating(registry, ttl=15.0) as heartbeat:
        assert heartbeat.announced.wait(SOON)
    assert network.announcements() == ()
    assert registry.closed
    assert not heartbeat.announced.is_set()


def test_at_the_end_it_closes_a_registry_that_is_lost_too(
    registry: Watched, network: MemoryNetwork
) -> None:
    with beating(registry):
        network.down = True
    assert registry.closed


def test_a_wiped_registry_has_us_again_within_a_heartbeat(
    registry: Watched, network: MemoryNetwork
) -> None:
    with beating(registry) as heartbeat:
        assert heartbeat.announced.wait(SOON)
        network.wipe()
        assert until(lambda: network.announcements() == (OURS,))


def test_it_does_not_spin_while_the_registry_is_lost(
    registry: Watched, network: MemoryNetwork
) -> None:
    network.down = True
    with beating(registry, ttl=15.0) as heartbeat:
        assert not heartbeat.announced.wait(1.0)
        assert until(lambda: len(registry.beats) >= 2)
    assert len(registry.beats) <= 2 + 5 * registry.span


def test_it_logs_the_loss_and_the_return_and_nothing_between(
    registry: Watched, network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    network.down = True
    with caplog.at_level(logging.WARNING, "pirate.roster"), beating(registry) as heartbeat:
        assert until(lambda: len(registry.beats) > 3)
        network.down = False
        assert heartbeat.announced.wait(SOON)
        seen = len(registry.beats)
        assert until(lambda: len(registry.beats) > seen + 2)
    assert caplog.messages == [
        "lost the registry (memory): the memory registry is down",
        "the registry (memory) is back",
    ]


def test_a_poke_announces_soon_and_many_pokes_once_a_second(
    registry: Watched, network: MemoryNetwork
) -> None:
    now = [OURS]
    with beating(registry, lambda: now[-1], ttl=60.0) as heartbeat:
        assert heartbeat.announced.wait(SOON)
        now.append(announcement(1, revision=7))
        for _ in range(100):
            heartbeat.poke()
        assert until(lambda: network.announcements() == (now[-1],))
        heartbeat.poke()
    assert 2 <= len(registry.beats) < 10
    assert all(later - beat >= 1.0 for beat, later in itertools.pairwise(registry.beats))


class Crowded(Watched):
    """Another living peer has the ids in ``taken``."""

    def __init__(self, network: MemoryNetwork, *taken: PeerId) -> None:
        super().__init__(network, ttl=15.0)
        self.taken = taken

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        if announcement.id in self.taken:
            self.beats.append(time.monotonic())
            raise ClashError(f"{announcement.id} is taken")
        super().announce(announcement, deadline)


def test_after_a_clash_it_announces_us_under_our_new_id_at_once(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Crowded(network, OURS.id)
    roster = Roster(registry, me=OURS.id)
    ids = [OURS]
    heartbeat = Heartbeat(
        registry, roster, lambda: ids[-1], 15.0, clashed=lambda: ids.append(announcement(2))
    )
    with Scope() as scope:
        scope.spawn("heartbeat", lambda: heartbeat.run(scope.stop))
        assert heartbeat.announced.wait(SOON)
        assert network.announcements() == (announcement(2),)
        assert until(lambda: roster.age < math.inf)
        assert roster.peers == ()  # the new one is us, too
    assert caplog.messages == [f"{OURS.id} is taken; this node is {announcement(2).id} from now on"]


def test_whoever_takes_every_id_does_not_make_it_spin(network: MemoryNetwork) -> None:
    registry = Crowded(network, OURS.id)
    clashes: list[float] = []

    def clashed() -> None:
        clashes.append(time.monotonic())

    heartbeat = Heartbeat(registry, Roster(registry), lambda: OURS, 15.0, clashed=clashed)
    with Scope() as scope:
        scope.spawn("heartbeat", lambda: heartbeat.run(scope.stop))
        assert not heartbeat.announced.wait(1.0)
        assert until(lambda: len(clashes) >= 2)
    assert len(clashes) <= 2 + 5 * (clashes[-1] - clashes[0])
