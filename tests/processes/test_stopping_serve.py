"""How serve ends: soon, in order, and without a trace."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from etcd_server import EtcdServer
from honest import NEVER, dialer
from processes.network import announced, fill
from processes.peers import Running, Serving, pirate, until

from pirate.model import Digest, Peer
from pirate.net.conversation import Conversation
from pirate.scope import Stop

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
SOON = 10.0


@contextmanager
def talking(server: Serving) -> Iterator[Conversation]:
    """An introduced connection that asks nothing more."""
    client = dialer(stall=20.0)
    try:
        with client.talk(Peer((server.address,)), NEVER, Stop()) as conversation:
            yield conversation
    finally:
        client.close()


@SIGNALS
def test_a_server_with_idle_connections_is_out_at_once_and_withdrawn(
    place: Path, etcd: EtcdServer, number: signal.Signals
) -> None:
    folder = fill(place / "idle", {"a": b"a"})
    with ExitStack() as stack:
        server = stack.enter_context(Serving(folder, "--etcd", etcd.address))
        for _ in range(5):
            stack.enter_context(talking(server))
        assert until(lambda: announced(etcd.address) == {"idle": 1})
        done = server.stopped_by(number)
        assert announced(etcd.address) == {}
    assert (done.code, done.out) == (0, "")
    assert done.seconds < SOON
    assert sorted(path.name for path in place.iterdir()) == ["idle"]


@SIGNALS
def test_a_server_with_a_busy_connection_is_out_after_its_drain(
    place: Path, big: tuple[Path, str], number: signal.Signals
) -> None:
    folder, sha1 = big
    with Serving(folder, "--drain", "500ms") as server, talking(server) as conversation:
        conversation.read(Digest(bytes.fromhex(sha1)), 0, 100_000_000)  # and never reads it
        assert conversation.data_into(memoryview(bytearray(1))) == 1
        done = server.stopped_by(number)
        conversation.channel.abort()
    assert done.code == 0
    assert 0.4 < done.seconds < SOON
    assert list(place.iterdir()) == []


def test_an_answer_under_way_is_finished_within_the_drain(big: tuple[Path, str]) -> None:
    folder, sha1 = big
    with Serving(folder, "--drain", "1m") as server, talking(server) as conversation:
        conversation.read(Digest(bytes.fromhex(sha1)), 0, 20_000_000)
        buffer = memoryview(bytearray(1_000_000))
        left = 20_000_000 - conversation.data_into(buffer)
        server.send(signal.SIGTERM)
        while left:
            left -= conversation.data_into(buffer[: min(left, len(buffer))])
        done = server.ends()
    assert done.code == 0
    assert done.seconds < SOON


def test_a_second_signal_ends_serve_at_once(big: tuple[Path, str]) -> None:
    folder, sha1 = big
    with Serving(folder, "--drain", "1m") as server, talking(server) as conversation:
        conversation.read(Digest(bytes.fromhex(sha1)), 0, 100_000_000)  # and never reads it
        assert conversation.data_into(memoryview(bytearray(1))) == 1
        server.send(signal.SIGTERM)
        assert until(lambda: not accepts(server))
        done = server.stopped_by(signal.SIGTERM)
        conversation.channel.abort()
    assert done.code == -signal.SIGTERM
    assert done.seconds < SOON


def accepts(server: Serving) -> bool:
    """Whether new connections are welcome."""
    return pirate("peers", "--peer", server.address, "--timeout", "10s").code == 0


def test_hup_while_it_serves_does_not_end_it(place: Path) -> None:
    with Serving(fill(place / "shared", {"a": b"a"})) as server:
        for _ in range(10):
            server.rescan()
        assert accepts(server)
        assert server.stopped_by(signal.SIGTERM).code == 0


def test_serve_that_is_stopped_while_it_hashes_is_out_at_once(place: Path) -> None:
    folder = fill(place / "s", {"a": b"", "b": b""})
    for name in ("a", "b"):
        os.truncate(folder / name, 2**40)  # of which not a byte is on the disk
    flags = ("--listen", "127.0.0.1:0", "--port-file", place / "port")
    with Running("serve", folder, *flags, "--json") as server:
        assert until(lambda: server.bytes_read() > 50_000_000)
        assert not (place / "port").exists()
        done = server.stopped_by(signal.SIGTERM)
    assert done.code == 0
    assert done.seconds < SOON
    assert [json.loads(line)["type"] for line in done.out.splitlines()] == ["summary"]
