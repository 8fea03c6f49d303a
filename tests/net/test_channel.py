import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from honest import NEVER, QUICK, SOON, some_bytes

from pirate.deadline import Deadline
from pirate.errors import LostError, PeerError, ProtocolError, StalledError
from pirate.net.channel import LEAST_PROGRESS, Channel
from pirate.scope import Scope
from pirate.wire.frames import Header, Kind

STALL = 0.3
MB = 1024 * 1024


@pytest.fixture(name="ends")
def _ends() -> Iterator[tuple[Channel, socket.socket]]:
    """Give a channel and the bare socket at its other end, over TCP with small buffers."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        mine = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    channel = Channel(mine, stall=SOON)
    theirs.settimeout(SOON)
    with theirs:
        yield channel, theirs
    channel.close()


@contextlib.contextmanager
def taking(least: float, most: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert least < time.monotonic() - began < most


def drip(sock: socket.socket, data: bytes, seconds: float) -> None:
    with Scope() as scope, contextlib.suppress(OSError):
        for byte in data:
            sock.sendall(bytes([byte]))
            scope.stop.wait(seconds)


def sip(sock: socket.socket, count: int, seconds: float) -> None:
    """Read ``count`` bytes every ``seconds`` until the other side has closed."""
    with Scope() as scope, contextlib.suppress(OSError):
        while sock.recv(count):
            scope.stop.wait(seconds)


# Receiving.


def test_a_frame_comes_whole_however_it_is_cut(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    frame = Header(Kind.STAT, True, 1, 20).encode() + bytes(range(20))
    with Scope() as scope:
        scope.spawn("drip", lambda: drip(other, frame, 0.001))
        header, body = channel.receive(Deadline(SOON))
    assert (header, body) == (Header(Kind.STAT, True, 1, 20), bytes(range(20)))


def test_silence_is_a_stall(ends: tuple[Channel, socket.socket]) -> None:
    ends[0].stall = STALL
    with taking(0.9 * STALL, QUICK), pytest.raises(StalledError, match=r"0\.3"):
        ends[0].receive(NEVER)


def test_a_deadline_that_is_nearer_than_the_stall_ends_the_wait(
    ends: tuple[Channel, socket.socket],
) -> None:
    with taking(0.04, QUICK), pytest.raises(StalledError):
        ends[0].receive(Deadline(0.05))


def test_a_deadline_is_a_total_that_a_byte_now_and_then_does_not_extend(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, other = ends
    frame = Header(Kind.STAT, True, 1, 20).encode() + bytes(20)
    with Scope() as scope:
        scope.spawn("drip", lambda: drip(other, frame, 0.1))
        with taking(0.3, QUICK), pytest.raises(StalledError):
            channel.receive(Deadline(0.4))
        channel.abort()


def test_an_end_in_the_middle_of_a_frame_is_a_loss(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    other.sendall(Header(Kind.STAT, True, 1, 20).encode() + bytes(19))
    other.close()
    with pytest.raises(LostError):
        channel.receive(NEVER)


@pytest.mark.parametrize(("kind", "length"), [(Kind.DATA, 2**32 - 1), (Kind.STAT, 65), (0x90, MB)])
def test_too_much_is_refused_at_the_header(
    ends: tuple[Channel, socket.socket], kind: int, length: int
) -> None:
    channel, other = ends
    other.sendall(Header(kind, True, 1, length).encode())
    with pytest.raises(ProtocolError, match=str(length)):
        channel.receive(NEVER)


def test_an_abort_wakes_who_is_blocked_in_receiving(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, _ = ends
    timer = threading.Timer(0.05, channel.abort)
    timer.start()
    with taking(0.0, QUICK), pytest.raises(LostError):
        channel.receive(NEVER)
    timer.join()


# Sending.


@pytest.fixture(name="large")
def _large(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "large"
    path.write_bytes(some_bytes(8 * MB))
    file = os.open(path, os.O_RDWR)
    yield file
    os.close(file)


def collected(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(MB), b""))


@pytest.mark.parametrize("sendfile", [True, False])
def test_a_range_of_a_file_is_sent_as_it_is(
    ends: tuple[Channel, socket.socket],
    large: int,
    sendfile: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not sendfile:

        def refuse(*_: object) -> int:
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(os, "sendfile", refuse)
    channel, other = ends

    def send() -> None:
        channel.send_file(large, 12345, 3 * MB)
        channel.abort()

    with Scope() as scope:
        scope.spawn("send", send)
        received = collected(other)
    assert received == some_bytes(8 * MB)[12345 : 12345 + 3 * MB]


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(
    ends: tuple[Channel, socket.socket], large: int
) -> None:
    channel, other = ends
    error: list[PeerError] = []

    def send() -> None:
        try:
            channel.send_file(large, 0, 8 * MB)
        except PeerError as lost:
            error.append(lost)
        channel.abort()

    with Scope() as scope:
        scope.spawn("send", send)
        begun = other.recv(1000)
        os.ftruncate(large, 4 * MB)
        received = begun + collected(other)
    assert len(received) <= 4 * MB
    assert some_bytes(8 * MB).startswith(received)
    assert "shrank" in str(error[0])


def test_who_takes_nothing_is_given_up(ends: tuple[Channel, socket.socket], large: int) -> None:
    ends[0].stall = STALL
    with taking(0.9 * STALL, QUICK), pytest.raises(StalledError):
        ends[0].send_file(large, 0, 8 * MB)


@pytest.mark.parametrize("what", ["file", "frame"])
def test_who_takes_too_little_is_given_up_though_it_takes_something(
    ends: tuple[Channel, socket.socket], large: int, what: str
) -> None:
    channel, other = ends
    channel.stall = STALL

    def send() -> None:
        if what == "file":
            channel.send_file(large, 0, 8 * MB)
        else:
            channel.send(bytes(8 * MB))

    with Scope() as scope:
        scope.spawn("sip", lambda: sip(other, 4096, STALL / 4))
        with taking(0.9 * STALL, QUICK), pytest.raises(StalledError):
            send()
        channel.abort()


def test_who_takes_just_enough_is_not_given_up(
    ends: tuple[Channel, socket.socket], large: int
) -> None:
    channel, other = ends
    channel.stall = 5 * STALL
    with Scope() as scope:
        scope.spawn("sip", lambda: sip(other, LEAST_PROGRESS, STALL / 20))
        with taking(channel.stall, SOON):
            channel.send_file(large, 0, MB // 2)
            channel.send(bytes(MB // 2))
        channel.abort()


def test_sending_into_a_closed_connection_is_a_loss(
    ends: tuple[Channel, socket.socket], large: int
) -> None:
    channel, other = ends
    other.close()
    with pytest.raises(LostError):
        channel.send_file(large, 0, 8 * MB)
    with pytest.raises(LostError):
        channel.send(b"x")


# Keeping.


def test_a_channel_is_quiet_only_while_it_is_open_and_nothing_waits(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, other = ends
    assert channel.quiet
    other.sendall(b"x")
    assert not (channel.sock.recv(1, socket.MSG_PEEK) and channel.quiet)
    channel.sock.recv(1)
    assert channel.quiet
    other.close()
    channel.sock.recv(1, socket.MSG_PEEK)
    assert not channel.quiet


def test_aborting_twice_and_after_the_end_is_harmless(ends: tuple[Channel, socket.socket]) -> None:
    channel, _ = ends
    channel.abort()
    channel.abort()
    channel.close()
    channel.abort()
    assert not channel.quiet
