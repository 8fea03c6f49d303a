"""Somebody has filled etcd with records that name others."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from etcd3 import Endpoint, MultiEndpointEtcd3Client
from etcd_server import EtcdServer
from processes.network import BETA, LARGE, Network, sha1
from processes.peers import pirate
from victim import Victim

from pirate import record
from pirate.model import Announcement, PeerId
from pirate.policy.shun import MOST_DOUBTFUL
from pirate.registry.etcd import PREFIX

RECORDS = 1000
AT_ONCE = 100  # etcd takes 128 operations at most


@pytest.fixture(name="poisoned")
def _poisoned(etcd: EtcdServer, request: pytest.FixtureRequest) -> Iterator[Victim]:
    """A victim with so many ports, and the records that name them."""
    endpoint = Endpoint(*etcd.address, secure=False)
    with (
        Victim(ports=request.param) as victim,
        closing(MultiEndpointEtcd3Client([endpoint], timeout=20.0)) as client,
    ):
        puts = []
        for number in range(RECORDS):
            peer = PeerId(hashlib.md5(f"{number}".encode()).digest())
            addresses = (victim.addresses[number % len(victim.addresses)],)
            data = record.encode(Announcement(peer, f"poison {number}", addresses, "0.1.0"))
            puts.append(client.transactions.put(PREFIX + str(peer), data))
        for begin in range(0, RECORDS, AT_ONCE):
            client.transaction(compare=[], success=puts[begin : begin + AT_ONCE], failure=[])
        yield victim


@pytest.mark.parametrize("poisoned", [1, 40], indirect=True)
def test_files_are_got_all_the_same_and_the_victim_hears_nothing(
    network: Network, poisoned: Victim, place: Path
) -> None:
    wanted = {name: content for name, content in BETA.items() if content}
    lines = [f"{sha1(content)}  {name}\n" for name, content in wanted.items()]
    done = pirate("get", "-i", "-", "-d", place, "--etcd", network.etcd, stdin="".join(lines))
    assert done.code == 0, done.err
    assert (place / "large.bin").read_bytes() == LARGE["large.bin"]
    connections, count = poisoned.accepted()
    assert connections <= (1 if len(poisoned.listeners) == 1 else MOST_DOUBTFUL)
    assert count == 0


@pytest.mark.parametrize("poisoned", [1], indirect=True)
def test_peers_are_listed_with_one_connection_to_the_victim(
    network: Network, poisoned: Victim
) -> None:
    done = pirate("peers", "--stall-timeout", "1s", "--etcd", network.etcd)
    assert "alpha" in done.out
    assert "beta" in done.out
    assert poisoned.accepted() == (1, 0)
