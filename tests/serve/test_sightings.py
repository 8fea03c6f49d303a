import logging
from pathlib import Path

import pytest
from fake import client
from honest import Honest, hello

from pirate.model import Address, Announcement, Digest, Peer
from pirate.serve.sightings import Sightings
from pirate.wire.messages import Hello, Stat

HOME = Address("10.0.0.7", 7070)
ELSEWHERE = Address("172.17.0.9", 51234)
PEERS = (
    Peer.announced(Announcement(hello("anne").peer, "anne", (HOME,), "1")),
    Peer((HOME,), hello("static").peer, "static"),
)


@pytest.fixture(name="log")
def _log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "pirate.serve")
    return caplog


def test_a_peer_that_comes_from_elsewhere_is_told_once(log: pytest.LogCaptureFixture) -> None:
    sightings = Sightings(lambda: PEERS)
    for _ in range(3):
        sightings.note(ELSEWHERE, hello("anne"))
    assert log.messages == ["anne comes from 172.17.0.9 and announces 10.0.0.7:7070"]


def test_nothing_is_told_of_those_who_come_from_home_or_are_not_known(
    log: pytest.LogCaptureFixture,
) -> None:
    sightings = Sightings(lambda: PEERS)
    sightings.note(Address(HOME.host, 51234), hello("anne"))
    sightings.note(ELSEWHERE, hello("stranger"))
    sightings.note(ELSEWHERE, hello("static"))
    assert not log.messages


def test_who_is_known_later_is_told_of_then(log: pytest.LogCaptureFixture) -> None:
    known: list[tuple[Peer, ...]] = [()]
    sightings = Sightings(lambda: known[0])
    sightings.note(ELSEWHERE, hello("anne"))
    assert not log.messages
    known[0] = PEERS
    sightings.note(ELSEWHERE, hello("anne"))
    assert len(log.messages) == 1


def test_a_server_tells_who_asks_it_from_where(share: Path) -> None:
    met: list[tuple[Address, Hello]] = []
    with Honest(share) as honest:
        honest._server.met = lambda seen, theirs: met.append((seen, theirs))
        with client(honest.address) as line:
            ours = Address(*line.sock.getsockname())
            line.send(Stat(Digest(bytes(20))).frame(1))
            line.frame()
    assert met == [(ours, hello("client"))]
