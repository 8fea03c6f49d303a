import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake import Line, client
from honest import QUICK, SOON, Honest, hello
from processes.peers import until

from pirate.model import Digest
from pirate.net.reception import Limits, seen
from pirate.wire import messages
from pirate.wire.frames import Header, Kind
from pirate.wire.messages import ErrorCode, decode

UNKNOWN = Digest(b"\7" * 20)


@contextlib.contextmanager
def serving(
    share: Path,
    *,
    guests: int = 4096,
    strangers: int = 256,
    per_host: int = 64,
    hello_seconds: float = SOON,
    request: float = SOON,
    idle: float = SOON,
) -> Iterator[Honest]:
    limits = Limits(guests, strangers, per_host, hello_seconds, request, idle)
    with Honest(share, limits=limits) as server:
        yield server


def stat(line: Line, number: int = 1) -> int:
    """Ask something; the code of the refusal that answers."""
    line.send(messages.Stat(UNKNOWN).frame(number))
    return refusal(line, number).code


def refusal(line: Line, number: int) -> messages.Error:
    header, body = line.frame()
    assert header.request == number
    message = decode(header, body)
    assert isinstance(message, messages.Error)
    return message


def is_served(server: Honest) -> bool:
    with client(server.address) as line:
        return stat(line) == ErrorCode.NOT_FOUND


# Introduction.


def test_the_server_speaks_first(honest: Honest) -> None:
    with client(honest.address, introduced=False) as line:
        header, body = line.frame()
        assert (header.kind, header.request, header.end) == (Kind.HELLO, 0, True)
        assert messages.Hello.decode(body).name == "honest"


def test_a_stranger_is_dropped_when_the_time_from_its_accept_is_over_though_it_trickles(
    share: Path,
) -> None:
    with serving(share, hello_seconds=0.3) as server:
        began = time.monotonic()
        with client(server.address, introduced=False) as line:
            line.frame()
            line.sock.settimeout(0.05)
            for byte in hello("slow").frame(0):
                line.send(bytes([byte]))
                if line.closed:
                    break
        assert 0.25 < time.monotonic() - began < QUICK


def test_no_version_in_common_is_told_and_ends_the_connection(honest: Honest) -> None:
    with client(honest.address, introduced=False) as line:
        line.frame()
        line.send(hello("future", oldest=7, newest=9).frame(0))
        assert refusal(line, 0).code == ErrorCode.VERSION
        assert line.closed


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\nHost: pirate\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS",
        messages.Stat(UNKNOWN).frame(1),
        Header(Kind.HELLO, True, 0, 4096).encode(),
        Header(Kind.HELLO, True, 0, 0).encode(),
    ],
)
def test_what_is_no_hello_is_told_and_ends_the_connection(honest: Honest, opening: bytes) -> None:
    with client(honest.address, introduced=False) as line:
        line.frame()
        line.send(opening)
        assert refusal(line, 0).code == ErrorCode.BAD_REQUEST
        assert line.closed


# Waiting.


def test_a_request_that_is_begun_has_to_be_whole_in_time_though_it_trickles(share: Path) -> None:
    with serving(share, request=0.3) as server, client(server.address) as line:
        assert stat(line) == ErrorCode.NOT_FOUND
        line.sock.settimeout(0.05)
        began = time.monotonic()
        for byte in messages.Stat(UNKNOWN).frame(2):
            line.send(bytes([byte]))
            if line.closed:
                break
        assert 0.25 < time.monotonic() - began < QUICK


def test_an_idle_guest_is_dropped_in_time(share: Path) -> None:
    with serving(share, idle=1.5) as server, client(server.address) as line:
        began = time.monotonic()
        assert stat(line) == ErrorCode.NOT_FOUND
        assert line.closed
        assert 1.4 < time.monotonic() - began < QUICK


def test_a_guest_who_asks_now_and_then_stays(share: Path) -> None:
    with serving(share, idle=4.0) as server, client(server.address) as line:
        for number in range(1, 5):
            line.sock.settimeout(SOON)
            assert stat(line, number) == ErrorCode.NOT_FOUND
            line.sock.settimeout(1.1)
            assert not line.closed


def test_the_request_deadline_does_not_bind_who_is_idle(share: Path) -> None:
    with serving(share, request=0.1) as server, client(server.address) as line:
        assert stat(line) == ErrorCode.NOT_FOUND
        line.sock.settimeout(0.3)
        assert not line.closed
        line.sock.settimeout(SOON)
        assert stat(line, 2) == ErrorCode.NOT_FOUND


# Crowds.


def test_one_stranger_too_many_costs_the_oldest_its_place(share: Path) -> None:
    with serving(share, strangers=3) as server, contextlib.ExitStack() as stack:
        lines = [
            stack.enter_context(client(server.address, introduced=False, host=f"127.0.1.{n}"))
            for n in range(1, 5)
        ]
        for line in lines:
            line.frame()
        assert lines[0].closed
        for line in lines[1:]:
            line.send(hello("late").frame(0))
            assert stat(line) == ErrorCode.NOT_FOUND


def test_one_host_takes_places_from_itself_only(share: Path) -> None:
    with serving(share, strangers=4, per_host=2) as server, contextlib.ExitStack() as stack:
        other = stack.enter_context(client(server.address, introduced=False, host="127.0.1.1"))
        other.frame()
        lines = []
        for _ in range(5):
            lines.append(stack.enter_context(client(server.address, introduced=False)))
            lines[-1].frame()
        assert all(line.closed for line in lines[:3])
        for line in (other, *lines[3:]):
            line.send(hello("late").frame(0))
            assert stat(line) == ErrorCode.NOT_FOUND


def test_the_guest_who_is_idle_longest_makes_room(share: Path) -> None:
    with serving(share, guests=2) as server, contextlib.ExitStack() as stack:
        lines: list[Line] = []
        for _ in range(3):
            lines.append(stack.enter_context(client(server.address)))
            assert stat(lines[-1]) == ErrorCode.NOT_FOUND
            assert until(lambda: server.parked == min(2, len(lines)))  # back from the workers
        assert lines[0].closed
        assert stat(lines[1], 2) == stat(lines[2], 2) == ErrorCode.NOT_FOUND


def test_a_closed_connection_is_forgotten_at_once(share: Path) -> None:
    with serving(share, guests=2) as server:  # the one before may not be back from its worker
        for _ in range(20):
            assert is_served(server)


# Requests.


def test_pipelined_requests_are_answered_in_their_order(honest: Honest) -> None:
    digests = [honest.put(f"{n}", b"x" * n) for n in range(1, 5)]
    with client(honest.address) as line:
        line.send(b"".join(messages.Read(d, 0, n).frame(n) for n, d in enumerate(digests, 1)))
        for number in range(1, 5):
            header, body = line.frame()
            assert (header.request, header.end, body) == (number, True, b"x" * number)


def test_requests_may_come_right_behind_the_hello_byte_by_byte(honest: Honest) -> None:
    with client(honest.address, introduced=False) as line:
        line.frame()
        for byte in hello("slow").frame(0) + messages.Stat(UNKNOWN).frame(3):
            line.send(bytes([byte]))
        assert refusal(line, 3).code == ErrorCode.NOT_FOUND


def test_a_kind_that_may_be_skipped_is_and_one_that_must_be_understood_is_refused_in_turn(
    honest: Honest,
) -> None:
    with client(honest.address) as line:
        news = Header(0x80, True, 0, 5000).encode() + bytes(5000)
        query = Header(0x7F, True, 2, 60_000).encode() + bytes(60_000)
        line.send(news + messages.Stat(UNKNOWN).frame(1) + query + news)
        line.send(messages.Stat(UNKNOWN).frame(3))
        assert refusal(line, 1).code == ErrorCode.NOT_FOUND
        assert refusal(line, 2).code == ErrorCode.UNSUPPORTED
        assert refusal(line, 3).code == ErrorCode.NOT_FOUND


def test_who_has_stopped_sending_still_gets_every_answer(honest: Honest) -> None:
    with client(honest.address) as line:
        line.send(b"".join(messages.Stat(UNKNOWN).frame(number) for number in range(1, 4)))
        line.sock.shutdown(socket.SHUT_WR)
        for number in range(1, 4):
            assert refusal(line, number).code == ErrorCode.NOT_FOUND
        assert line.closed


NONSENSE = [
    b"\xff" * 12,
    Header(Kind.STAT, True, 0, 20).encode() + bytes(20),
    Header(Kind.STAT, False, 2, 20).encode() + bytes(20),
    Header(Kind.STAT, True, 2, 19).encode() + bytes(19),
    Header(Kind.DATA, True, 2, 0).encode(),
    hello("again").frame(0),
]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("pipelined", [False, True])
def test_nonsense_is_told_and_ends_the_connection(
    honest: Honest,
    nonsense: bytes,
    pipelined: bool,  # noqa: FBT001
) -> None:
    with client(honest.address) as line:
        question = messages.Stat(UNKNOWN).frame(1)
        line.send(question + nonsense if pipelined else question)
        assert refusal(line, 1).code == ErrorCode.NOT_FOUND
        if not pipelined:
            line.send(nonsense)
        assert refusal(line, 0).code == ErrorCode.BAD_REQUEST
        assert line.closed
    assert is_served(honest)


@pytest.mark.parametrize(
    ("where", "address"),
    [
        (("10.0.0.7", 51234), "10.0.0.7:51234"),
        (("::ffff:10.0.0.7", 51234, 0, 0), "10.0.0.7:51234"),
        (("fd00::7", 51234, 0, 0), "[fd00::7]:51234"),
        (("fe80::7%eth0", 51234, 0, 2), "[fe80::7]:51234"),
        (("::ffff:abcd", 51234, 0, 0), "[::ffff:abcd]:51234"),
        ((), "local:0"),
    ],
)
def test_a_guest_has_the_same_address_however_it_came(
    where: tuple[object, ...], address: str
) -> None:
    assert str(seen(where)) == address
