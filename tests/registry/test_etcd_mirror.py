"""What `serve` knows of etcd without asking, and when it asks all the same."""

import threading
import time
from contextlib import closing
from typing import Any

import pytest
from etcd_server import EtcdServer
from registry.rigs import SOON, announcement, fails_in_time, names, until

from pirate import record
from pirate.deadline import Deadline
from pirate.errors import RegistryError
from pirate.registry.access import PLAIN
from pirate.registry.etcd import PREFIX, EtcdRegistry
from pirate.registry.etcd_client import Client
from pirate.registry.etcd_mirror import TRUSTED_SECONDS, trusted_seconds

OURS = announcement(1)
OUR_KEY = PREFIX + str(OURS.id)


class Asked:
    """Counts the listings of etcd, and what the registry tells of."""

    def __init__(self, registry: EtcdRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
        # A call that is tried again ends the mirror, so it may take its time.
        monkeypatch.setattr("pirate.registry.etcd_client.RPC_SECONDS", SOON)
        self.listings = 0
        self.told = threading.Event()
        real = registry._client.list

        def counted(*args: Any) -> Any:
            self.listings += 1
            return real(*args)

        monkeypatch.setattr(registry._client, "list", counted)
        registry.watch(self.told.set)


@pytest.fixture
def asked(ours: EtcdRegistry, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(ours, monkeypatch)


def test_who_watches_lists_once_and_knows_what_changes(
    ours: EtcdRegistry, asked: Asked, operator: Any
) -> None:
    ours.announce(OURS, Deadline(SOON))
    assert until(lambda: names(ours) == ["n1"])
    for number in range(2, 5):
        operator.put(PREFIX + str(announcement(number).id), record.encode(announcement(number)))
    assert until(lambda: names(ours) == ["n1", "n2", "n3", "n4"])
    operator.delete(PREFIX + str(announcement(3).id))
    assert until(lambda: names(ours) == ["n1", "n2", "n4"])
    assert ours.problem is None
    assert asked.listings == 1


def test_our_own_key_is_not_missed_before_the_mirror_can_have_it(
    ours: EtcdRegistry, asked: Asked, operator: Any
) -> None:
    names(ours)
    for revision in range(50):
        ours.announce(announcement(1, revision=revision), Deadline(SOON))
        names(ours)
        assert ours.problem is None
    assert operator.get_prefix_response(OUR_KEY).kvs[0].version == 50
    assert asked.listings == 1


def test_in_the_mirror_too_our_key_is_missed_when_an_operator_has_deleted_it(
    ours: EtcdRegistry, asked: Asked, operator: Any
) -> None:
    names(ours)
    ours.announce(OURS, Deadline(SOON))
    assert until(lambda: names(ours) == ["n1"])
    operator.delete(OUR_KEY)
    assert until(lambda: bool(names(ours) == [] and ours.problem))
    ours.announce(OURS, Deadline(SOON))
    assert until(lambda: bool(names(ours) == ["n1"] and not ours.problem))
    assert asked.listings == 1


def test_an_etcd_that_was_wiped_is_told_of_and_mirrored_again(
    etcd: EtcdServer, ours: EtcdRegistry, asked: Asked
) -> None:
    ours.announce(OURS, Deadline(SOON))
    assert names(ours) == ["n1"]
    asked.told.clear()
    etcd.restart_empty()
    assert asked.told.wait(SOON)
    assert names(ours) == []
    assert ours.problem
    asked.told.clear()
    ours.announce(OURS, Deadline(SOON))
    assert asked.told.wait(SOON)
    assert names(ours) == ["n1"]
    assert asked.listings == 2


def test_a_call_that_fails_ends_the_mirror_since_its_stream_may_be_as_dead(
    etcd: EtcdServer, ours: EtcdRegistry, asked: Asked
) -> None:
    ours.announce(OURS, Deadline(SOON))
    assert names(ours) == ["n1"]
    etcd.freeze()
    assert names(ours) == ["n1"]  # nobody has told it that
    assert fails_in_time(lambda deadline: ours.announce(OURS, deadline))
    assert ours._client._stream
    assert not ours._client._stream._call.is_active()  # gRPC alone would take seconds
    assert asked.told.wait(SOON)
    assert fails_in_time(ours.peers)
    etcd.thaw()
    assert names(ours) == ["n1"]


def test_a_watch_of_what_etcd_has_compacted_ends(etcd: EtcdServer, operator: Any) -> None:
    for _ in range(3):
        operator.put(OUR_KEY, b"")
    operator.compact(operator.get_prefix_response(OUR_KEY).header.revision)
    client = Client((etcd.address,), PLAIN)
    with closing(client), pytest.raises(RegistryError, match="compacted"):
        list(client.watch(PREFIX, 0))


def test_where_no_watch_lasts_etcd_is_listed_again_later_and_later(
    ours: EtcdRegistry, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirate.registry.etcd_mirror.FIRST_RETRY_SECONDS", 0.1)
    real = ours._client.watch

    def broken(*args: Any) -> Any:
        stream = real(*args)
        stream.cancel()
        return stream

    monkeypatch.setattr(ours._client, "watch", broken)
    ours.watch(asked.told.set)
    began = time.monotonic()
    while (took := time.monotonic() - began) < 1.6 or asked.listings < 2:
        asked.told.clear()
        names(ours)
        assert asked.told.wait(SOON)
    assert asked.listings <= 7 + 10 * (took - 1.6)


def test_beyond_the_limit_there_is_no_mirror(
    ours: EtcdRegistry, asked: Asked, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirate.registry.etcd.PEERS_LIMIT", 2)
    ours.watch(asked.told.set)
    names(ours)
    for number in (2, 3, 4):
        operator.put(PREFIX + str(announcement(number).id), record.encode(announcement(number)))
    assert until(lambda: asked.listings > 1 or len(names(ours)) > 2)
    assert until(lambda: names(ours) == ["n2", "n3"])
    operator.delete(PREFIX + str(announcement(2).id))
    assert names(ours) == ["n3", "n4"]


def test_a_mirror_of_very_many_is_believed_for_longer() -> None:
    assert trusted_seconds(1_000) == trusted_seconds(1) == TRUSTED_SECONDS
    assert trusted_seconds(10_000) == 10 * TRUSTED_SECONDS
