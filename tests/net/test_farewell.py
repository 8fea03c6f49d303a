import socket
from collections.abc import Iterator

import pytest
from honest import SOON, listen, some_bytes

from pirate.deadline import Deadline
from pirate.net.channel import Channel
from pirate.net.farewell import Farewell

LONG = some_bytes(300_000)


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel that sends much at once, to a client whose kernel takes little at once."""
    with listen() as listener, socket.socket() as theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        theirs.settimeout(SOON)
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        channel = Channel(ours, stall=SOON)
        yield channel, theirs
        channel.close()


def closed(channel: Channel) -> bool:
    return channel.sock.fileno() < 0


def test_who_has_everything_is_let_go_at_once(pair: tuple[Channel, socket.socket]) -> None:
    channel, theirs = pair
    Farewell().part(channel)
    assert closed(channel)
    assert theirs.recv(1) == b""


def test_who_has_not_is_told_that_no_more_comes_and_waited_for(
    pair: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = pair
    farewell = Farewell()
    channel.send(LONG)
    farewell.part(channel)
    assert not closed(channel)
    with theirs.makefile("rb") as reader:
        assert reader.read() == LONG
    farewell.wait(Deadline(SOON))
    assert closed(channel)


def test_who_goes_without_taking_everything_is_not_waited_for(
    pair: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = pair
    farewell = Farewell()
    channel.send(LONG)
    farewell.part(channel)
    theirs.close()
    deadline = Deadline(SOON)
    farewell.wait(deadline)
    assert closed(channel)
    assert not deadline.passed


def test_nobody_is_waited_for_beyond_the_deadline(pair: tuple[Channel, socket.socket]) -> None:
    channel, _ = pair
    farewell = Farewell()
    channel.send(LONG)
    farewell.part(channel)
    farewell.wait(Deadline(0.05))
    assert closed(channel)


def test_who_parts_too_late_is_let_go_at_once(pair: tuple[Channel, socket.socket]) -> None:
    channel, _ = pair
    farewell = Farewell()
    farewell.wait(Deadline(SOON))
    channel.send(LONG)
    farewell.part(channel)
    assert closed(channel)
