"""etcd goes away and comes back empty: nobody has to restart, and files travel meanwhile."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from etcd_server import EtcdServer
from honest import NEVER
from processes.network import ALPHA, BETA, BOTH, LARGE, TTL, Network, announced, fill, sha1
from processes.peers import pirate, until

from pirate.cli.progress import Silent
from pirate.config import load
from pirate.fetch.get import Getter
from pirate.fetch.target import IfExists, Target, Verdict
from pirate.fetch.terms import Terms
from pirate.model import Digest
from pirate.net.dial import Dialer
from pirate.network import new_hello
from pirate.node import Node
from pirate.roster import MOST_RETRY_SECONDS
from pirate.scope import Scope, Stop

# A beat that has failed is tried again within this time; then the lease and the key are written.
HEARTBEAT = max(TTL / 3, MOST_RETRY_SECONDS)
MARGIN = 10.0  # that a busy machine may take beyond it


BOTH_PEERS = {"alpha": len(ALPHA), "beta": len(BETA)}


@pytest.fixture
def node(network: Network, place: Path) -> Iterator[Node]:
    """A third peer, in this process."""
    flags = {"etcd": [str(network.etcd)], "discovery": "etcd", "ttl": f"{TTL}s"}
    settings = load(
        flags | {"name": "third", "listen": "127.0.0.1:0"}, {"XDG_CONFIG_HOME": "/dev/null"}, None
    )
    running = Node(settings, (str(fill(place / "third", {"c": b"c"})),))
    with Scope() as scope:
        running.start(scope)
        yield running


@pytest.fixture
def calm(network: Network, place: Path) -> Iterator[Node]:
    """One whose heart beats every few minutes."""
    flags = {"etcd": [str(network.etcd)], "discovery": "etcd", "ttl": "10m"}
    settings = load(
        flags | {"name": "calm", "listen": "127.0.0.1:0"}, {"XDG_CONFIG_HOME": "/dev/null"}, None
    )
    running = Node(settings, (str(place),))
    with Scope() as scope:
        running.start(scope)
        yield running


def names(node: Node) -> set[str]:
    """Whom the node knows, from memory."""
    return {peer.name for peer in node.roster.peers}


def get(digest: Digest, node: Node, folder: Path) -> Verdict:
    """Get a file from the peers that the node remembers."""
    dialer = Dialer(new_hello())
    getter = Getter(lambda: node.roster.peers, Terms(dialer, Silent(), NEVER, Stop()))
    try:
        with Target(str(folder), (), None, IfExists.FAIL) as target:
            return getter.to_target(digest, target)[0]
    finally:
        dialer.close()


def test_peers_are_announced_again_within_a_heartbeat_of_the_return_of_an_empty_etcd(
    network: Network, etcd: EtcdServer
) -> None:
    assert until(lambda: announced(etcd.address) == BOTH_PEERS)
    etcd.wipe()
    down = pirate("ls", "--etcd", etcd.address)
    assert down.code == 4
    etcd.start()
    assert until(lambda: announced(etcd.address) == BOTH_PEERS, HEARTBEAT + MARGIN)
    assert network.pirate("ls", "--sums").out.count("\n") > len(BETA)


def test_get_works_from_the_roster_in_memory_while_etcd_is_down(
    etcd: EtcdServer, node: Node, place: Path
) -> None:
    assert until(lambda: names(node) == {"alpha", "beta"})
    etcd.kill()
    try:
        assert until(lambda: node.roster.snapshot.stale)
        assert names(node) == {"alpha", "beta"}
        verdict = get(Digest(bytes.fromhex(sha1(LARGE["large.bin"]))), node, place)
    finally:
        etcd.start()
    assert verdict is Verdict.WANTED
    assert (place / "large.bin").read_bytes() == LARGE["large.bin"]
    assert until(lambda: not node.roster.snapshot.stale)


def test_a_stopped_peer_is_gone_at_once_and_a_killed_one_after_its_lease(
    network: Network, etcd: EtcdServer
) -> None:
    with network.serving("gamma", BOTH) as gamma:
        assert until(lambda: "gamma" in announced(etcd.address))
        assert gamma.stopped_by(signal.SIGTERM).code == 0
        assert "gamma" not in announced(etcd.address)
    with network.serving("delta", BOTH) as delta:
        assert until(lambda: "delta" in announced(etcd.address))
        delta.kill()
        assert until(lambda: "delta" not in announced(etcd.address))


def test_a_running_peer_sees_at_once_who_comes_and_who_goes(network: Network, calm: Node) -> None:
    assert until(lambda: names(calm) == {"alpha", "beta"})
    with network.serving("epsilon", BOTH) as epsilon:  # ready, so announced or nearly so
        assert until(lambda: "epsilon" in names(calm))
        assert epsilon.stopped_by(signal.SIGTERM).code == 0
        assert until(lambda: "epsilon" not in names(calm))
