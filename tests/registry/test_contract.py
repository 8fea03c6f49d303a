"""What every registry promises, held against all of them, etcd being a real one."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from etcd_server import EtcdServer
from registry.rigs import (
    NAMED,
    SOON,
    EtcdRig,
    MdnsRig,
    MemoryRig,
    Rig,
    UnionRig,
    announcement,
    fails_in_time,
    until,
)

from pirate.deadline import Deadline
from pirate.errors import RegistryError
from pirate.model import Announcement, PeerId
from pirate.registry.base import Registry
from pirate.registry.static import StaticRegistry

OURS = announcement(3)


@pytest.fixture(params=["memory", "union", "etcd", "mdns"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    if request.param == "etcd":
        with EtcdServer(tmp_path) as server:
            yield EtcdRig(server)
    else:
        rigs: dict[str, type[Rig]] = {"memory": MemoryRig, "union": UnionRig, "mdns": MdnsRig}
        yield rigs[request.param]()


@pytest.fixture
def handles() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def ours(rig: Rig, handles: ExitStack) -> Registry:
    return handles.enter_context(closing(rig.handle()))


@pytest.fixture
def theirs(rig: Rig, handles: ExitStack) -> Registry:
    return handles.enter_context(closing(rig.handle()))


def announced(registry: Registry) -> dict[PeerId, Announcement]:
    peers = registry.peers(Deadline(SOON))
    return {peer.announcement.id: peer.announcement for peer in peers if peer.announcement}


def sees(rig: Rig, registry: Registry, *who: Announcement) -> bool:
    """Whether these are announced, once what was said has had the time to spread."""
    expected = {each.id: each for each in who}
    return until(lambda: announced(registry) == expected, rig.spread)


def test_nobody_is_announced_at_first(ours: Registry) -> None:
    assert announced(ours) == {}


def test_the_announced_are_seen_by_others_and_by_themselves(
    rig: Rig, ours: Registry, theirs: Registry
) -> None:
    ours.announce(OURS, Deadline(SOON))
    theirs.announce(announcement(2), Deadline(SOON))
    assert sees(rig, ours, OURS, announcement(2))
    assert sees(rig, theirs, OURS, announcement(2))


def test_a_peer_is_reached_and_called_as_it_announced(ours: Registry) -> None:
    ours.announce(OURS, Deadline(SOON))
    (peer,) = (peer for peer in ours.peers(Deadline(SOON)) if peer.id)
    assert (peer.id, peer.name, peer.addresses) == (OURS.id, OURS.name, OURS.addresses)


def test_an_announcement_replaces_the_one_before(
    rig: Rig, ours: Registry, theirs: Registry
) -> None:
    ours.announce(OURS, Deadline(SOON))
    ours.announce(announcement(3, revision=7), Deadline(SOON))
    assert sees(rig, theirs, announcement(3, revision=7))


def test_an_announcement_under_a_new_id_replaces_the_one_before(
    rig: Rig, ours: Registry, theirs: Registry
) -> None:
    ours.announce(OURS, Deadline(SOON))
    ours.announce(announcement(2), Deadline(SOON))
    assert sees(rig, theirs, announcement(2))


def test_the_withdrawn_are_gone_at_once(ours: Registry, theirs: Registry) -> None:
    ours.announce(OURS, Deadline(SOON))
    ours.withdraw(Deadline(SOON))
    assert announced(theirs) == {}


def test_the_withdrawn_may_announce_themselves_again(
    rig: Rig, ours: Registry, theirs: Registry
) -> None:
    ours.announce(OURS, Deadline(SOON))
    ours.withdraw(Deadline(SOON))
    ours.announce(OURS, Deadline(SOON))
    assert sees(rig, theirs, OURS)


def test_withdrawing_what_was_never_announced_is_nothing(ours: Registry) -> None:
    ours.withdraw(Deadline(SOON))


def test_who_watches_is_told_of_who_comes_and_who_goes(ours: Registry, theirs: Registry) -> None:
    told = threading.Event()
    ours.watch(told.set)
    assert announced(ours) == {}
    theirs.announce(announcement(2), Deadline(SOON))
    assert told.wait(SOON)
    assert until(lambda: announced(ours) == {announcement(2).id: announcement(2)})
    told.clear()
    theirs.withdraw(Deadline(SOON))
    assert told.wait(SOON)
    assert until(lambda: announced(ours) == {})


def test_who_does_not_renew_is_gone_when_the_lease_runs_out(
    rig: Rig, handles: ExitStack, theirs: Registry
) -> None:
    ours = handles.enter_context(closing(rig.handle(ttl=1.0)))
    ours.announce(OURS, Deadline(SOON))
    rig.pass_time(1.1)
    assert until(lambda: announced(theirs) == {})


def test_who_renews_stays(rig: Rig, handles: ExitStack, theirs: Registry) -> None:
    ours = handles.enter_context(closing(rig.handle(ttl=3.0)))
    for _ in range(9):  # in more time than a lease has
        ours.announce(OURS, Deadline(SOON))
        rig.pass_time(0.5)
    assert sees(rig, theirs, OURS)


def test_the_next_announcement_heals_a_registry_that_lost_everything(
    rig: Rig, ours: Registry, theirs: Registry
) -> None:
    ours.announce(OURS, Deadline(SOON))
    rig.wipe()
    assert announced(theirs) == {}
    ours.announce(OURS, Deadline(SOON))
    assert sees(rig, theirs, OURS)


def test_a_registry_that_answers_nothing_is_an_error_by_the_deadline(
    rig: Rig, ours: Registry
) -> None:
    ours.announce(OURS, Deadline(SOON))
    rig.break_down()
    assert fails_in_time(lambda deadline: ours.announce(OURS, deadline))
    assert fails_in_time(ours.withdraw)


def test_a_listing_without_an_answer_is_an_error_by_the_deadline_or_admits_a_problem(
    rig: Rig, ours: Registry
) -> None:
    rig.break_down()
    assert fails_in_time(ours.peers) or ours.problem


def test_a_registry_that_was_broken_works_again(rig: Rig, ours: Registry, theirs: Registry) -> None:
    ours.announce(OURS, Deadline(SOON))
    rig.break_down()
    with pytest.raises(RegistryError):
        ours.announce(announcement(3, revision=8), Deadline(0.2))
    rig.mend()
    ours.announce(announcement(3, revision=9), Deadline(SOON))
    assert sees(rig, theirs, announcement(3, revision=9))
    assert ours.problem is None


def test_closing_twice_is_nothing(ours: Registry, capfd: pytest.CaptureFixture[str]) -> None:
    ours.announce(OURS, Deadline(SOON))
    ours.close()
    ours.close()
    assert capfd.readouterr() == ("", "")


def test_a_static_registry_lists_its_peers_whatever_is_announced() -> None:
    with closing(StaticRegistry((NAMED, NAMED))) as registry:
        registry.announce(OURS, Deadline(0.0))
        registry.withdraw(Deadline(0.0))
        (peer,) = registry.peers(Deadline(0.0))
        assert (peer.id, peer.addresses, peer.key) == (None, (NAMED,), NAMED)
        registry.close()
