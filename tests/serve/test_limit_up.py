"""Serving under a limit on speed: kept to, shared by all guests, and no reason to stall."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from fake import Line, client
from fetch.rig import Rig
from honest import QUICK, SOON, Honest, digest_of, some_bytes

from pirate.disk.tree import Shares
from pirate.library import Library
from pirate.net.dial import STALL_SECONDS
from pirate.serve.handler import LEAST_SHARE, Handler
from pirate.throttle import LEAST_PIECE, Throttle
from pirate.wire import messages
from pirate.wire.frames import Kind
from pirate.wire.messages import ErrorCode

CONTENT = some_bytes(600_000)
DIGEST = digest_of(CONTENT)
SLOWEST = 64 * 1024


@contextlib.contextmanager
def limited(share: Path, rate: float, drain: float = 1.0) -> Iterator[Honest]:
    """A server of one file that sends at most so many bytes a second."""
    (share / "file").write_bytes(CONTENT)
    library = Library(Shares([str(share)]), rescan=60.0, threads=1)
    with Honest(share, answer=Handler(library, Throttle(rate)).answer, drain=drain) as server:
        server.library = library
        server.scan()
        yield server


def ask(line: Line, length: int = len(CONTENT)) -> None:
    line.send(messages.Read(DIGEST, 0, length).frame(1))


def test_two_guests_together_keep_to_it(share: Path, tmp_path: Path) -> None:
    rate = 400_000
    (tmp_path / "got").mkdir()
    began = time.monotonic()
    with limited(share, rate) as server:
        rig = Rig(tmp_path / "got")
        _, received = rig.get(DIGEST, server.peer)
    assert received.received / rate < 1.15 * (time.monotonic() - began)
    assert rig.watcher.dropped_peers == []


def test_a_low_rate_comes_in_small_frames_without_gaps(share: Path) -> None:
    with limited(share, SLOWEST) as server, client(server.address) as line:
        ask(line)
        last = time.monotonic()
        for _ in range(10):
            header, body = line.frame()
            now = time.monotonic()
            assert (header.kind, len(body)) == (Kind.DATA, LEAST_PIECE)
            assert now - last < STALL_SECONDS
            last = now


def test_more_guests_than_the_rate_can_keep_from_stalling_are_told_to_come_back(
    share: Path,
) -> None:
    room = SLOWEST // LEAST_SHARE
    with limited(share, SLOWEST, drain=0.1) as server, contextlib.ExitStack() as stack:
        lines = [stack.enter_context(client(server.address)) for _ in range(room + 1)]
        for line in lines[:room]:
            ask(line)
            assert line.frame()[0].kind == Kind.DATA
        ask(lines[room])
        told = messages.decode(*lines[room].frame())
    assert isinstance(told, messages.Error)
    assert told.code == ErrorCode.BUSY
    assert told.retry_after_ms > 0


def test_a_worker_that_waits_for_its_turn_ends_with_the_server(share: Path) -> None:
    with limited(share, SLOWEST, drain=0.1) as server, client(server.address) as line:
        ask(line)
        line.frame()
        began = time.monotonic()
        server.stop.set()
        assert server.ended.wait(SOON)
    assert time.monotonic() - began < QUICK


def test_a_guest_that_only_closes_its_sending_side_goes_no_faster(share: Path) -> None:
    with limited(share, SLOWEST, drain=0.1) as server, client(server.address) as line:
        began = time.monotonic()
        ask(line, 10 * LEAST_PIECE)
        line.sock.shutdown(1)
        for _ in range(10):
            line.frame()
    assert time.monotonic() - began > 0.4
