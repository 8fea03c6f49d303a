import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from evil import Holder, frozen, late_ghost, mute
from fake import Fake
from honest import NEVER, QUICK, SOON, Honest, dialer, digest_of, hello, listen
from processes.peers import nobody

from pirate.deadline import Deadline
from pirate.errors import LostError, PeerError, RefusedError, StalledError, UnreachableError
from pirate.model import Address, Digest, Peer
from pirate.net.dial import KEEP_PER_PEER, KEEP_SECONDS, Dialer
from pirate.scope import Stop

UNKNOWN = Digest(b"\7" * 20)
CONTENT = b"content"
DIGEST = digest_of(CONTENT)


@pytest.fixture(name="dial")
def _dial() -> Iterator[Dialer]:
    with contextlib.closing(dialer(stall=SOON)) as dial:
        yield dial


@pytest.fixture(name="black_hole")
def _black_hole() -> Iterator[Peer]:
    """Give an address where nobody answers: a listener whose backlog is full."""
    with listen(backlog=0) as listener, contextlib.ExitStack() as stack:
        address = Address(*listener.getsockname())
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(address)
        yield Peer((address,))


def stat(dial: Dialer, peer: Peer, digest: Digest = DIGEST, stop: Stop | None = None) -> int:
    with dial.talk(peer, NEVER, stop or Stop()) as conversation:
        return conversation.stat(digest, NEVER)[0].size


def read(dial: Dialer, peer: Peer, stop: Stop) -> int:
    with dial.talk(peer, NEVER, stop) as conversation:
        conversation.read(DIGEST, 0, 1)
        return conversation.data_into(memoryview(bytearray(1)))


# Reaching.


def test_a_closed_port_is_told_at_once(dial: Dialer) -> None:
    with pytest.raises(UnreachableError, match="refused"):
        stat(dial, Peer((nobody(),)))


def test_an_address_where_nobody_answers_is_given_up_in_time(black_hole: Peer) -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="does not answer"):
        stat(dialer(connect=0.3), black_hole)
    assert 0.25 < time.monotonic() - began < QUICK


def test_a_deadline_that_is_nearer_ends_the_attempt(black_hole: Peer) -> None:
    began = time.monotonic()
    with (
        contextlib.closing(dialer(connect=SOON)) as dial,
        pytest.raises(UnreachableError),
        dial.talk(black_hole, Deadline(0.1), Stop()),
    ):
        pass
    assert time.monotonic() - began < QUICK


@pytest.mark.parametrize("before", [True, False])
def test_a_stop_ends_the_attempt_to_connect(
    black_hole: Peer,
    before: bool,  # noqa: FBT001
) -> None:
    stop = Stop()
    timer = threading.Timer(0 if before else 0.1, stop.set)
    timer.start()
    if before:
        timer.join()
    began = time.monotonic()
    with pytest.raises(PeerError):
        stat(dialer(connect=SOON), black_hole, stop=stop)
    assert time.monotonic() - began < QUICK
    timer.join()


@pytest.mark.parametrize("behaviour", [mute, frozen(CONTENT)])
def test_a_stop_ends_the_wait_for_an_answer(behaviour: Holder) -> None:
    stop = Stop()
    with Fake(behaviour) as fake, contextlib.closing(dialer(stall=SOON)) as dial:
        timer = threading.Timer(0.1, stop.set)
        timer.start()
        began = time.monotonic()
        with pytest.raises(LostError):
            read(dial, fake.peer, stop)
        assert time.monotonic() - began < QUICK
        timer.join()


@pytest.mark.parametrize("host", ["", "no.such.host.invalid", "a" * 64 + ".example", "..", "x\0y"])
def test_a_name_that_is_none_is_unreachable(dial: Dialer, host: str) -> None:
    with pytest.raises((UnreachableError, StalledError)):
        stat(dial, Peer((Address(host, nobody().port),)))


def test_a_peer_without_an_address_is_unreachable(dial: Dialer) -> None:
    with pytest.raises(UnreachableError, match="no address"):
        stat(dial, Peer((), id=hello("nobody").peer))


def test_the_next_address_is_tried_where_the_first_does_not_answer(
    dial: Dialer, honest: Honest
) -> None:
    honest.put("file", CONTENT)
    assert stat(dial, Peer((nobody(), honest.address))) == len(CONTENT)


# Keeping.


def test_an_idle_connection_is_used_again(dial: Dialer) -> None:
    with Fake(Holder(CONTENT)) as fake:
        for _ in range(3):
            assert stat(dial, fake.peer) == len(CONTENT)
        assert fake.accepted == 1


def test_a_peer_that_has_introduced_itself_is_still_the_same_to_the_dialler(dial: Dialer) -> None:
    with Fake(Holder(CONTENT)) as fake:
        with dial.talk(fake.peer, NEVER, Stop()) as conversation:
            met = fake.peer.met(conversation.peer.peer, conversation.peer.name)
        assert stat(dial, met) == len(CONTENT)
        assert fake.accepted == 1


def test_a_refusal_does_not_cost_the_connection(dial: Dialer) -> None:
    with Fake(Holder(CONTENT)) as fake:
        for _ in range(3):
            with pytest.raises(RefusedError, match="not_found"):
                stat(dial, fake.peer, UNKNOWN)
        assert fake.accepted == 1


def test_a_connection_that_the_peer_has_closed_is_not_used_again(share: Path, dial: Dialer) -> None:
    with Honest(share) as first:
        first.put("file", CONTENT)
        assert stat(dial, first.peer) == len(CONTENT)
    with Honest(share, port=first.address.port) as second:
        assert stat(dial, second.peer) == len(CONTENT)


def test_a_connection_with_an_answer_outstanding_is_not_used_again(dial: Dialer) -> None:
    with Fake(Holder(CONTENT)) as fake:
        with dial.talk(fake.peer, NEVER, Stop()) as conversation:
            conversation.read(DIGEST, 0, 3)
        with dial.talk(fake.peer, NEVER, Stop()) as conversation:
            conversation.read(DIGEST, 0, 3)
            assert conversation.data_into(memoryview(bytearray(1))) == 1
        assert stat(dial, fake.peer) == len(CONTENT)
        assert fake.accepted == 3


def test_a_connection_whose_answer_is_still_to_come_is_not_used_again(dial: Dialer) -> None:
    with Fake(frozen(CONTENT)) as fake:
        for _ in range(2):
            with dial.talk(fake.peer, NEVER, Stop()) as conversation:
                conversation.read(DIGEST, 0, 3)
        assert stat(dial, fake.peer) == len(CONTENT)
        assert fake.accepted == 3


def test_a_connection_that_failed_is_not_used_again(dial: Dialer) -> None:
    with Fake(late_ghost) as fake:
        for _ in range(2):
            with pytest.raises(LostError):
                stat(dial, fake.peer)
        assert fake.accepted == 2


def test_a_connection_that_has_idled_for_long_is_not_used_again() -> None:
    now = [0.0]
    dial = Dialer(hello("client"), clock=lambda: now[0])
    with Fake(Holder(CONTENT)) as fake, contextlib.closing(dial):
        stat(dial, fake.peer)
        now[0] += KEEP_SECONDS - 1
        stat(dial, fake.peer)
        assert fake.accepted == 1
        now[0] += KEEP_SECONDS
        stat(dial, fake.peer)
        assert fake.accepted == 2


def test_only_some_idle_connections_are_kept(dial: Dialer) -> None:
    with Fake(Holder(CONTENT)) as fake:
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                for _ in range(KEEP_PER_PEER + 2):
                    stack.enter_context(dial.talk(fake.peer, NEVER, Stop()))
        assert fake.accepted == KEEP_PER_PEER + 4


def test_of_many_peers_those_met_last_keep_their_connections() -> None:
    with contextlib.ExitStack() as stack:
        dial = stack.enter_context(contextlib.closing(Dialer(hello("client"), keep=2)))
        fakes = [stack.enter_context(Fake(Holder(CONTENT))) for _ in range(3)]
        for fake in (*fakes, *reversed(fakes)):
            stat(dial, fake.peer)
        assert [fake.accepted for fake in fakes] == [2, 1, 1]


def test_a_conversation_that_was_stopped_is_not_kept(dial: Dialer) -> None:
    stop = Stop()
    with Fake(Holder(CONTENT)) as fake:
        with dial.talk(fake.peer, NEVER, stop):
            stop.set()
        assert stat(dial, fake.peer) == len(CONTENT)
        assert fake.accepted == 2
