import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake import GoneError, Line, client
from honest import QUICK, SOON, Honest, some_bytes
from processes.peers import until

from pirate.errors import NotFoundError
from pirate.model import Digest
from pirate.net.channel import Channel
from pirate.net.reception import Limits
from pirate.scope import Scope, Stop
from pirate.serve import server as server_module
from pirate.wire import messages
from pirate.wire.frames import Kind
from pirate.wire.messages import ErrorCode

UNKNOWN = Digest(b"\7" * 20)
QUESTION = messages.Stat(UNKNOWN)
LONG = some_bytes(300_000)
NO = messages.Error(ErrorCode.NOT_FOUND, 0, "")


class Slow:
    """Answers no request before the test lets it; ``begun`` counts those that wait."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, channel: Channel, number: int, *_: object) -> None:
        self.begun.release()
        assert self.go_on.wait(SOON)
        channel.send(NO.frame(number))


def refused(line: Line, number: int = 1) -> bool:
    header, body = line.frame()
    return (header.request, messages.decode(header, body)) == (number, NO)


def seconds_until_it_ends(server: Honest) -> float:
    began = time.monotonic()
    server.stop.set()
    assert server.ended.wait(2 * SOON)
    return time.monotonic() - began


def test_who_finds_no_place_is_told_to_come_back(share: Path) -> None:
    slow = Slow()
    limits = Limits(guests=1)
    with Honest(share, limits=limits, answer=slow) as server, client(server.address) as line:
        line.send(QUESTION.frame(1))
        assert slow.begun.acquire(timeout=SOON)
        with client(server.address, introduced=False) as late:
            header, body = late.frame()
            told = messages.decode(header, body)
            assert isinstance(told, messages.Error)
            assert (header.request, told.code) == (0, ErrorCode.BUSY)
            assert told.retry_after_ms > 0
            assert late.closed
        slow.go_on.set()
        assert refused(line)


def test_requests_beyond_the_workers_wait_for_one(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "WORKERS", 2)
    slow = Slow()
    with Honest(share, answer=slow) as server, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(client(server.address)) for _ in range(5)]
        for line in lines:
            line.send(QUESTION.frame(1))
        for _ in range(2):
            assert slow.begun.acquire(timeout=SOON)
        assert not slow.begun.acquire(timeout=0.1)
        slow.go_on.set()
        assert all(refused(line) for line in lines)


def test_an_exception_in_an_answer_costs_one_connection_not_the_server(
    share: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(channel: Channel, number: int, *_: object) -> None:
        if number == 13:
            raise KeyError("a defect")
        channel.send(NO.frame(number))

    with Honest(share, answer=answer) as server:
        for _ in range(3):
            with client(server.address) as line:
                line.send(QUESTION.frame(13))
                assert line.closed
        with client(server.address) as line:
            line.send(QUESTION.frame(1))
            assert refused(line)
    assert "a defect" in caplog.text


# The end.


def test_a_stop_ends_a_server_with_idle_silent_and_half_asking_guests(share: Path) -> None:
    with Honest(share, drain=SOON) as server, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(client(server.address)) for _ in range(3)]
        lines[0].send(QUESTION.frame(1))
        lines[0].frame()
        lines[1].send(QUESTION.frame(1)[:5])
        stranger = stack.enter_context(client(server.address, introduced=False))
        stranger.frame()
        assert seconds_until_it_ends(server) < QUICK
        assert all(line.closed for line in (*lines, stranger))


def test_a_stop_lets_the_running_answer_finish_and_takes_no_other_request(share: Path) -> None:
    slow = Slow()
    with Honest(share, answer=slow, drain=SOON) as server, client(server.address) as line:
        line.send(QUESTION.frame(1) + QUESTION.frame(2))
        assert slow.begun.acquire(timeout=SOON)
        server.stop.set()
        assert not server.ended.wait(0.1)
        slow.go_on.set()
        assert refused(line)
        assert line.closed
        assert server.ended.wait(SOON)


class Buffered:
    """Gives an answer that our kernel takes at once, when the test lets it."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.sent = (threading.Event() for _ in range(3))

    def __call__(self, channel: Channel, *_: object) -> None:
        channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        self.begun.set()
        assert self.go_on.wait(SOON)
        channel.send(LONG)
        self.sent.set()


@contextlib.contextmanager
def narrow(server: Honest) -> Iterator[Line]:
    """A client whose kernel takes little before it reads."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(SOON)
        sock.connect(server.address)
        line = Line(sock, Stop(), "narrow")
        line.introduce()
        yield line


@pytest.mark.parametrize("asks", ["before", "after"])
def test_a_stop_does_not_cut_what_a_client_has_yet_to_take_though_it_asks_for_more(
    share: Path, asks: str
) -> None:
    buffered = Buffered()
    with Honest(share, answer=buffered, drain=SOON) as server, narrow(server) as line:
        line.send(QUESTION.frame(1))
        assert buffered.begun.wait(SOON)
        if asks == "before":  # the end of the answer
            line.send(QUESTION.frame(2))
            server.stop.set()
            assert until(lambda: server.ending)
            buffered.go_on.set()
            assert buffered.sent.wait(SOON)
        else:
            buffered.go_on.set()
            assert buffered.sent.wait(SOON)
            server.stop.set()
            assert until(lambda: server.ending)
            line.send(QUESTION.frame(2))
        assert not server.ended.wait(0.1)
        assert line.exactly(len(LONG)) == LONG
        assert line.closed
        assert server.ended.wait(SOON)


def test_a_client_that_never_takes_what_was_sent_is_waited_for_as_long_as_the_drain(
    share: Path,
) -> None:
    buffered = Buffered()
    buffered.go_on.set()
    with Honest(share, answer=buffered, drain=0.3) as server, narrow(server) as line:
        line.send(QUESTION.frame(1))
        assert buffered.sent.wait(SOON)
        assert 0.25 < seconds_until_it_ends(server) < SOON


def test_a_stop_refuses_newcomers_while_answers_finish(share: Path) -> None:
    slow = Slow()
    with Honest(share, answer=slow, drain=SOON) as server, client(server.address) as line:
        line.send(QUESTION.frame(1))
        assert slow.begun.acquire(timeout=SOON)
        with client(server.address) as idle:
            server.stop.set()
            assert idle.closed
        with pytest.raises(OSError, match="refused"):
            server.connect()
        slow.go_on.set()
        assert refused(line)


def test_who_takes_nothing_is_broken_off_when_the_drain_is_over(share: Path) -> None:
    with Honest(share, drain=0.3) as server, client(server.address) as line:
        digest = server.put("large", some_bytes(64 * 1024 * 1024))
        line.send(messages.Read(digest, 0, 64 * 1024 * 1024).frame(1))
        header, _ = line.frame()
        assert header.kind == Kind.DATA
        assert 0.25 < seconds_until_it_ends(server) < QUICK
        with pytest.raises(GoneError):
            line.exactly(64 * 1024 * 1024)


def test_requests_that_no_worker_has_taken_are_let_go_at_the_end(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "WORKERS", 1)

    def answer(channel: Channel, _number: int, *_: object) -> None:
        channel.receive_some(memoryview(bytearray(1)))  # until it is aborted

    with Honest(share, drain=0.2, answer=answer) as server, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(client(server.address)) for _ in range(3)]
        for line in lines:
            line.send(QUESTION.frame(1))
        end = time.monotonic() + SOON
        while server.waiting < 2 and time.monotonic() < end:
            time.sleep(0.005)
        assert seconds_until_it_ends(server) < QUICK
        assert all(line.closed for line in lines)


def test_a_server_ends_in_the_middle_of_a_crowd_that_asks_and_comes_and_goes(share: Path) -> None:
    with Honest(share) as server, Scope() as crowd:

        def bother() -> None:
            with contextlib.suppress(OSError, GoneError):
                while not crowd.stop.is_set:
                    with client(server.address) as line:
                        line.send(QUESTION.frame(1))
                        line.frame()

        for number in range(8):
            crowd.spawn(f"guest {number}", bother)
        with client(server.address) as line:
            for number in range(1, 50):
                line.send(QUESTION.frame(number))
                header, _ = line.frame()
                assert header.request == number
        assert seconds_until_it_ends(server) < QUICK


def test_a_client_that_vanishes_in_the_middle_of_an_answer_is_let_go(honest: Honest) -> None:
    digest = honest.put("large", some_bytes(8 * 1024 * 1024))
    for _ in range(5):
        with client(honest.address) as line:
            line.send(messages.Read(digest, 0, 8 * 1024 * 1024).frame(1))
            line.exactly(1000)
            line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with pytest.raises(NotFoundError):
        honest.library.entry(UNKNOWN)
    with client(honest.address) as line:
        line.send(QUESTION.frame(1))
        assert line.frame()[0].kind == Kind.ERROR


def test_requests_that_wait_already_are_answered_without_a_pause(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker lingers for the next request only when all that have come are answered."""
    monkeypatch.setattr(server_module, "LINGER_SECONDS", 0.5)
    with Honest(share) as server, client(server.address) as line:
        digest = server.put("small", b"x")
        began = time.monotonic()
        line.send(b"".join(messages.Read(digest, 0, 1).frame(1 + i) for i in range(40)))
        assert all(line.frame()[1] == b"x" for _ in range(40))
        assert time.monotonic() - began < QUICK
