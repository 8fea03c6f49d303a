"""What others announce makes us a nuisance to nobody (P12 of docs/decisions/0011-addresses.md)."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from evil import Holder, mute, old
from fake import Fake, Line
from honest import NEVER, QUICK, SOON, Honest, digest_of, hello
from processes.peers import nobody
from victim import Victim

from pirate import __version__
from pirate.errors import LostError, PeerError, RefusedError, UnreachableError
from pirate.fetch.swarm import search
from pirate.model import Address, Announcement, Peer, PeerId
from pirate.net.dial import Dialer
from pirate.net.ways import Ways
from pirate.policy.shun import MOST_DOUBTFUL, MOST_STRANGE_SECONDS
from pirate.registry.memory import MemoryNetwork, MemoryRegistry
from pirate.scope import Stop

RECORDS = 1000
CONTENT = b"content"
DIGEST = digest_of(CONTENT)
FOREIGN = Address("198.51.100.7", 7070)


def announced(name: str, *addresses: Address, peer_id: PeerId | None = None) -> Peer:
    """A peer as a registry tells of it; its id is that of ``hello``."""
    peer_id = peer_id or hello(name).peer
    return Peer.announced(Announcement(peer_id, name, addresses, __version__), "memory")


def poison(*addresses: Address) -> list[Peer]:
    """So many records that name these addresses in turn."""
    memory = MemoryNetwork()
    for number in range(RECORDS):
        address = addresses[number % len(addresses)]
        record = announced(f"poison {number}", address).announcement
        assert record
        MemoryRegistry(memory).announce(record, NEVER)
    return list(MemoryRegistry(memory).peers(NEVER))


class Clocked(Dialer):
    """A dialler whose memory has a clock of the test's."""

    def __init__(self, stall: float, ways: Ways | None = None) -> None:
        self.now = 0.0
        super().__init__(hello("client"), stall=stall, ways=ways, clock=lambda: self.now)


@pytest.fixture(name="dial")
def _dial() -> Iterator[Clocked]:
    with contextlib.closing(Clocked(SOON)) as dial:
        yield dial


@pytest.fixture(name="hasty")
def _hasty() -> Iterator[Clocked]:
    """Dial and wait only a little for a HELLO, since none comes."""
    with contextlib.closing(Clocked(0.3)) as dial:
        yield dial


def stat(dial: Dialer, peer: Peer) -> int:
    with dial.talk(peer, NEVER, Stop()) as conversation:
        return conversation.stat(DIGEST, NEVER)[0].size


def found(dial: Dialer, peers: list[Peer]) -> list[str]:
    """Who has the file, out of all of them."""
    with contextlib.closing(search(DIGEST, peers, dial, NEVER, Stop())) as answers:
        for peer, answer in answers:
            if not isinstance(answer, PeerError):
                return [peer.name]
    return []


# Poison.


def test_a_thousand_records_cost_a_victim_one_connection_in_five_minutes_and_no_byte(
    hasty: Clocked,
) -> None:
    with Victim() as victim:
        peers = poison(*victim.addresses)
        for _ in range(20):
            assert found(hasty, peers) == []
            hasty.now += MOST_STRANGE_SECONDS / 21
        assert victim.accepted() == (1, 0)


def test_the_same_holds_where_every_search_ends_at_once_since_somebody_has_the_file(
    dial: Clocked, honest: Honest
) -> None:
    honest.put("file", CONTENT)
    with Victim() as victim:
        peers = [*poison(*victim.addresses), announced("honest", honest.address)]
        for _ in range(20):
            assert found(dial, peers) == ["honest"]
            dial.now += MOST_STRANGE_SECONDS / 21
        assert victim.accepted() in {(0, 0), (1, 0)}


def test_a_thousand_records_that_name_many_ports_of_a_victim_cost_it_a_few_connections(
    hasty: Clocked,
) -> None:
    with Victim(ports=40) as victim:
        peers = poison(*victim.addresses)
        for _ in range(3):
            assert found(hasty, peers) == []
        connections, count = victim.accepted()
        assert 1 <= connections <= MOST_DOUBTFUL
        assert count == 0


def test_poison_is_named_once_each_in_the_log(
    hasty: Clocked, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pirate")
    with Victim() as victim:
        peers = poison(*victim.addresses)[:10]
        for _ in range(3):
            found(hasty, peers)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(set(lines)) == 10
    assert all(str(victim.addresses[0]) in line for line in lines)


def test_what_is_not_of_our_networks_is_not_dialled_and_is_told(
    dial: Clocked, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        with pytest.raises(UnreachableError, match="ours to dial"):
            stat(dial, announced(f"{number}", FOREIGN))
        with pytest.raises(UnreachableError, match="ours to dial"):
            stat(dial, announced(f"{number}", FOREIGN))
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "--network" in record.getMessage()


def test_a_name_is_not_looked_up_for_a_record(dial: Clocked) -> None:
    with pytest.raises(UnreachableError, match="ours to dial"):
        stat(dial, announced("n", Address("localhost", 7070)))


def test_what_the_user_named_is_dialled_again_and_again_wherever_it_is() -> None:
    with Victim() as victim:
        [named] = victim.addresses
        with contextlib.closing(Clocked(0.3, Ways([named]))) as dial:
            for peer in (Peer((named,)), announced("n", named)):
                for _ in range(2):
                    with pytest.raises(PeerError):
                        stat(dial, peer)
        assert victim.accepted() == (4, 0)


# The right peer.


def test_another_peer_at_a_first_address_is_passed_over(dial: Clocked) -> None:
    with (
        Fake(Holder(b"other"), name="other") as other,
        Fake(Holder(CONTENT), name="n") as right,
    ):
        peer = announced("n", other.address, right.address)
        assert stat(dial, peer) == len(CONTENT)
        assert (other.accepted, right.accepted) == (1, 1)
        with dial.talk(peer, NEVER, Stop()) as conversation:
            assert conversation.peer.peer == peer.id


def test_another_peer_alone_is_not_taken_and_hears_nothing_of_ours(dial: Clocked) -> None:
    heard: list[bytes] = []

    def impostor(line: Line) -> None:
        line.send(hello("impostor").frame(0))
        heard.append(line.sock.recv(1))

    with Fake(impostor) as fake:
        with pytest.raises(UnreachableError, match="another peer"):
            stat(dial, announced("n", fake.address))
        with pytest.raises(UnreachableError, match="another peer"):
            stat(dial, announced("n", fake.address))
        assert fake.accepted == 1
    assert not any(heard)


def test_a_false_record_does_not_hide_the_peer_whose_address_it_names(dial: Clocked) -> None:
    with Fake(Holder(CONTENT), name="n") as right:
        for number in range(3):
            with pytest.raises(UnreachableError):
                stat(dial, announced(f"poison {number}", right.address))
        assert stat(dial, announced("n", right.address)) == len(CONTENT)
        assert right.accepted == 2


def test_an_idle_connection_is_not_used_for_another_peer_with_the_same_address(
    dial: Clocked,
) -> None:
    with Fake(Holder(CONTENT), name="n") as right:
        assert stat(dial, announced("n", right.address)) == len(CONTENT)
        with pytest.raises(UnreachableError):
            stat(dial, announced("poison", right.address))


def test_no_node_dials_itself(dial: Clocked) -> None:
    with Victim() as victim:
        with pytest.raises(UnreachableError, match="ourselves"):
            stat(dial, announced("client", *victim.addresses))
        assert victim.accepted() == (0, 0)


def test_a_mute_first_address_costs_a_moment(dial: Clocked) -> None:
    with Fake(mute) as silent, Fake(Holder(CONTENT), name="n") as right:
        began = time.monotonic()
        assert stat(dial, announced("n", silent.address, right.address)) == len(CONTENT)
        assert time.monotonic() - began < QUICK


def test_a_refusal_is_told_though_another_address_is_dead(dial: Clocked) -> None:
    with Fake(old) as fake, pytest.raises(RefusedError):
        stat(dial, announced("old", fake.address, nobody()))


# Threads.


def test_many_who_want_a_peer_at_once_all_get_it(dial: Clocked) -> None:
    with Fake(Holder(CONTENT), name="n") as right:
        peer = announced("n", right.address)
        sizes: list[int] = []
        threads = [
            threading.Thread(target=lambda: sizes.append(stat(dial, peer))) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        assert sizes == 20 * [len(CONTENT)]


def test_many_peers_of_one_host_are_all_reached(dial: Clocked) -> None:
    with contextlib.ExitStack() as stack:
        fakes = [
            stack.enter_context(Fake(Holder(CONTENT), name=f"n{number}")) for number in range(24)
        ]
        peers = [announced(fake.name, fake.address) for fake in fakes]
        answers = list(search(DIGEST, peers, dial, NEVER, Stop()))
        assert not [error for _, error in answers if isinstance(error, PeerError)]


def test_a_stop_ends_the_wait_for_a_target_that_another_thread_dials() -> None:
    stop = Stop()
    slow = Dialer(hello("client"), connect=SOON, stall=SOON)
    with Fake(mute) as fake, contextlib.closing(slow):
        peer = announced("n", fake.address)

        def ask() -> None:
            with pytest.raises((LostError, UnreachableError)), slow.talk(peer, NEVER, stop):
                pass

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        began = time.monotonic()
        for thread in (*threads, timer):
            thread.join(SOON)
        assert time.monotonic() - began < QUICK


def test_a_peer_that_was_dead_is_found_again_soon(dial: Clocked) -> None:
    address = nobody()
    peer = announced("n", address)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            stat(dial, peer)
    with Fake(Holder(CONTENT), name="n", port=address.port):
        dial.now += 1.0
        assert stat(dial, peer) == len(CONTENT)


def test_the_address_that_the_user_named_may_be_anybodys(dial: Clocked) -> None:
    with Fake(Holder(CONTENT), name="new") as fake:
        before = replace(announced("old", fake.address), via=("memory", "static"))
        named = Dialer(hello("client"), ways=Ways([fake.address]))
        with contextlib.closing(named):
            assert stat(named, before) == len(CONTENT)
        with pytest.raises(UnreachableError):
            stat(dial, before)
