"""What is particular to etcd: its faults, its keys, and who else writes there."""

import importlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from etcd_server import EtcdServer, free_port
from registry.rigs import SLACK, SOON, Annoyed, BlackHole, announcement, fails_in_time, names, until

from pirate import record
from pirate.deadline import Deadline
from pirate.errors import ClashError, RegistryError
from pirate.model import Address
from pirate.registry.etcd import PREFIX, EtcdRegistry
from pirate.roster import Heartbeat, Roster
from pirate.scope import Scope

TTL = 9.0
HEARTBEAT = TTL / 3

OURS = announcement(1)
OUR_KEY = PREFIX + str(OURS.id)


@pytest.fixture
def black_hole() -> Iterator[Address]:
    with closing(BlackHole()) as hole:
        yield hole.address


class Counted(EtcdRegistry):
    """Counts how often it is used."""

    calls = 0

    def announce(self, *args: Any) -> None:
        self.calls += 1
        super().announce(*args)


@contextmanager
def beating(registry: EtcdRegistry, ttl: float = TTL) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(registry, Roster(registry), lambda: OURS, ttl)
    with Scope() as scope:
        scope.spawn("heartbeat", lambda: heartbeat.run(scope.stop))
        yield heartbeat


def seen_by_etcd(server: EtcdServer) -> bool:
    """Whether a stranger who connects now sees us."""
    with closing(EtcdRegistry((server.address,))) as stranger:
        try:
            return OURS.name in names(stranger)
        except RegistryError:
            return False


def idles(registry: Counted) -> bool:
    """Whether it does next to nothing for a while."""
    calls, cpu, began = registry.calls, time.process_time(), time.monotonic()
    time.sleep(2.0)
    took = time.monotonic() - began
    return registry.calls - calls <= 3 * took and time.process_time() - cpu < 0.2 * took


# Faults


def test_after_an_etcd_was_wiped_we_are_back_within_a_heartbeat_and_idle_meanwhile(
    etcd: EtcdServer,
) -> None:
    registry = Counted((etcd.address,), TTL)
    with beating(registry, TTL) as heartbeat:
        assert heartbeat.announced.wait(SOON)
        etcd.wipe()
        assert until(lambda: not heartbeat.announced.is_set())
        assert until(lambda: idles(registry))
        etcd.start()
        assert until(lambda: seen_by_etcd(etcd), HEARTBEAT + SLACK)


def test_an_etcd_that_is_absent_at_the_start_is_found_when_it_comes(etcd: EtcdServer) -> None:
    etcd.kill()
    with beating(EtcdRegistry((etcd.address,), TTL)) as heartbeat:
        assert not heartbeat.announced.wait(0.5)
        etcd.start()
        assert heartbeat.announced.wait(HEARTBEAT + SLACK)


def test_a_frozen_etcd_does_not_hold_up_the_end(etcd: EtcdServer) -> None:
    with beating(EtcdRegistry((etcd.address,), TTL)) as heartbeat:
        assert heartbeat.announced.wait(SOON)
        etcd.freeze()
        heartbeat.poke()
        assert until(lambda: not heartbeat.announced.is_set())
        start = time.monotonic()
    assert time.monotonic() - start < 1.5 + SLACK


def test_a_peer_that_ends_is_gone_at_once(
    etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirate.roster.WITHDRAW_SECONDS", SOON)
    with beating(EtcdRegistry((etcd.address,), TTL)) as heartbeat:
        assert heartbeat.announced.wait(SOON)
    assert not seen_by_etcd(etcd)


def test_a_key_that_an_operator_deleted_is_missed_in_the_listing_and_written_again(
    ours: EtcdRegistry, operator: Any
) -> None:
    ours.announce(OURS, Deadline(SOON))
    operator.delete(OUR_KEY)
    assert names(ours) == []
    ours.announce(OURS, Deadline(SOON))
    assert names(ours) == ["n1"]


def test_a_lease_that_was_lost_while_we_were_suspended_is_replaced_in_the_same_call(
    ours: EtcdRegistry, operator: Any
) -> None:
    ours.announce(OURS, Deadline(SOON))
    operator.revoke_lease(operator.get(OUR_KEY)[1].lease_id)
    assert names(ours) == []
    ours.announce(OURS, Deadline(SOON))
    assert names(ours) == ["n1"]


def test_a_lease_that_is_lost_between_renewal_and_put_is_replaced_in_the_same_call(
    ours: EtcdRegistry, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.announce(OURS, Deadline(SOON))
    encode = record.encode

    def revoke_and_encode(what: Any) -> bytes:
        monkeypatch.setattr(record, "encode", encode)
        operator.revoke_lease(operator.get(OUR_KEY)[1].lease_id)
        return encode(what)

    monkeypatch.setattr(record, "encode", revoke_and_encode)
    ours.announce(announcement(1, revision=5), Deadline(SOON))
    assert names(ours) == ["n1"]


def test_a_lease_that_is_gone_already_is_withdrawn(ours: EtcdRegistry, operator: Any) -> None:
    ours.announce(OURS, Deadline(SOON))
    operator.revoke_lease(operator.get(OUR_KEY)[1].lease_id)
    ours.withdraw(Deadline(SOON))


def test_an_unchanged_announcement_is_written_once(ours: EtcdRegistry, operator: Any) -> None:
    for _ in range(3):
        ours.announce(OURS, Deadline(SOON))
        ours.peers(Deadline(SOON))
    kept = operator.get_prefix_response(OUR_KEY).kvs[0]
    assert kept.version == 1


@pytest.mark.parametrize("fault", ["black hole", "nobody"])
def test_where_no_etcd_answers_every_call_is_an_error_by_its_deadline(
    fault: str, black_hole: Address
) -> None:
    address = black_hole if fault == "black hole" else Address("127.0.0.1", free_port())
    with closing(EtcdRegistry((address,))) as registry:
        assert fails_in_time(lambda deadline: registry.announce(OURS, deadline))
        assert fails_in_time(registry.peers)


def test_no_call_begins_after_its_deadline(ours: EtcdRegistry) -> None:
    ours.announce(OURS, Deadline(SOON))  # a warm connection answers even a call without time
    for _ in range(50):
        with pytest.raises(RegistryError):
            ours.announce(OURS, Deadline(0.0))


@pytest.mark.parametrize("dead", ["black hole", "nobody"])
def test_a_dead_member_does_not_matter_while_another_lives(
    dead: str, black_hole: Address, etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.choice", lambda members: members[0])  # where clients begin
    address = black_hole if dead == "black hole" else Address("127.0.0.1", free_port())
    with closing(EtcdRegistry((address, etcd.address))) as registry:
        registry.announce(OURS, Deadline(SOON))
        assert names(registry) == ["n1"]


def test_a_wall_clock_that_is_set_back_does_not_lock_etcd_out(
    etcd: EtcdServer, ours: EtcdRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    etcd.kill()
    with pytest.raises(RegistryError):
        ours.announce(OURS, Deadline(0.3))
    hour_ago = time.time() - 3600
    client = importlib.import_module("etcd3.client")
    monkeypatch.setattr(client, "time", SimpleNamespace(time=lambda: hour_ago))
    etcd.start()
    ours.announce(OURS, Deadline(SOON))


def test_a_closed_registry_has_closed_its_channels(ours: EtcdRegistry) -> None:
    ours.close()
    with pytest.raises(ValueError, match="closed channel"):
        ours.peers(Deadline(SOON))


def test_a_proxy_in_the_environment_is_not_used(
    etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with closing(EtcdRegistry((etcd.address,))) as registry:
        registry.announce(OURS, Deadline(SOON))


NOISY = """
import subprocess, sys
from pirate.deadline import Deadline
from pirate.errors import RegistryError
from pirate.model import Address
from pirate.registry.etcd import EtcdRegistry
for argument in sys.argv[1:]:
    try:
        EtcdRegistry((Address.parse(argument),)).peers(Deadline(0.5))
    except RegistryError:
        pass
    subprocess.run(["true"], check=True)
"""


def test_neither_trouble_nor_a_child_process_writes_to_stderr(black_hole: Address) -> None:
    with Scope() as scope, closing(Annoyed()) as annoyed:
        scope.spawn("annoyed", annoyed.run)
        child = subprocess.run(
            [sys.executable, "-c", NOISY, str(black_hole), str(annoyed.address)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            timeout=SOON,
            check=True,
        )
    assert child.stderr == b""


# Clashes: two machines made from one disk image have one id

CLONE = replace(announcement(1), addresses=(Address("127.0.0.200", 7070),), instance="b" * 32)


@pytest.fixture
def clone(etcd: EtcdServer, handles: ExitStack) -> EtcdRegistry:
    return handles.enter_context(closing(EtcdRegistry((etcd.address,))))


def test_who_comes_later_with_an_id_that_lives_is_told_so_and_changes_nothing(
    ours: EtcdRegistry, clone: EtcdRegistry
) -> None:
    ours.announce(replace(OURS, instance="a" * 32), Deadline(SOON))
    with pytest.raises(ClashError, match="n1"):
        clone.announce(CLONE, Deadline(SOON))
    (peer,) = ours.peers(Deadline(SOON))
    assert peer.addresses == OURS.addresses


def test_who_lost_its_lease_to_a_clone_finds_out(
    ours: EtcdRegistry, clone: EtcdRegistry, operator: Any
) -> None:
    ours.announce(replace(OURS, instance="a" * 32), Deadline(SOON))
    operator.revoke_lease(operator.get(OUR_KEY)[1].lease_id)
    clone.announce(CLONE, Deadline(SOON))
    with pytest.raises(ClashError):
        ours.announce(replace(OURS, instance="a" * 32), Deadline(SOON))


def test_what_a_killed_run_of_ours_has_left_is_replaced(
    ours: EtcdRegistry, clone: EtcdRegistry
) -> None:
    ours.announce(replace(OURS, instance="a" * 32), Deadline(SOON))
    again = replace(OURS, instance="c" * 32)
    clone.announce(again, Deadline(SOON))
    (peer,) = clone.peers(Deadline(SOON))
    assert peer.announcement == again


def test_what_the_same_process_wrote_under_another_lease_is_replaced(
    ours: EtcdRegistry, clone: EtcdRegistry
) -> None:
    ours.announce(CLONE, Deadline(SOON))
    moved = replace(CLONE, addresses=OURS.addresses)
    clone.announce(moved, Deadline(SOON))
    (peer,) = clone.peers(Deadline(SOON))
    assert peer.announcement == moved


def test_what_nobody_can_read_is_no_clash(ours: EtcdRegistry, operator: Any) -> None:
    operator.put(OUR_KEY, b"junk")
    ours.announce(OURS, Deadline(SOON))
    assert names(ours) == ["n1"]


def test_of_many_clones_that_come_at_once_one_gets_the_id(
    etcd: EtcdServer, handles: ExitStack
) -> None:
    told: list[bool] = []

    def announce(number: int) -> None:
        mine = replace(CLONE, addresses=announcement(number).addresses, instance=f"{number:032x}")
        registry = handles.enter_context(closing(EtcdRegistry((etcd.address,))))
        try:
            registry.announce(mine, Deadline(SOON))
        except ClashError:
            told.append(False)
        else:
            told.append(True)

    with Scope() as scope:
        for number in range(2, 10):
            scope.spawn("clone", partial(announce, number))
    assert sorted(told) == [False] * 7 + [True]


# Who else writes there


def test_what_is_no_announcement_is_left_out_and_named_once(
    ours: EtcdRegistry, operator: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ours.announce(OURS, Deadline(SOON))
    operator.put(PREFIX + "junk", b"\xff{")
    operator.put(PREFIX + "00" * 16, record.encode(announcement(2)))  # under a wrong key
    operator.put(PREFIX + "22" * 16, b"9" * 5000)
    with caplog.at_level(logging.WARNING):
        assert names(ours) == ["n1"]
        assert names(ours) == ["n1"]
    (told,) = caplog.messages
    assert told.startswith("3 records in etcd")


def test_who_keeps_writing_nonsense_does_not_fill_our_log(
    ours: EtcdRegistry,
    operator: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(5):
        operator.put(f"{PREFIX}junk {number}", b"\xff{")
        names(ours)
    assert len(caplog.messages) == 1
    monkeypatch.setattr("pirate.registry.etcd.QUIET_SECONDS", 0.0)
    ours._quiet_until = 0.0
    names(ours)
    assert caplog.messages[-1].startswith("4 records in etcd")


def test_keys_beside_the_prefix_are_not_read(ours: EtcdRegistry, operator: Any) -> None:
    peer = announcement(2)
    operator.put(f"/pirate/v1/peers{peer.id}", record.encode(peer))
    operator.put(f"/pirate/v1/peers0{peer.id}", record.encode(peer))
    assert names(ours) == []


def test_no_more_than_the_limit_is_listed(
    ours: EtcdRegistry, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirate.registry.etcd.PEERS_LIMIT", 2)
    for number in (2, 3, 4):
        peer = announcement(number)
        operator.put(PREFIX + str(peer.id), record.encode(peer))
    assert names(ours) == ["n2", "n3"]
