"""A server that is crowded or fed garbage goes on serving, and grows by nothing (P8, P9)."""

import contextlib
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from fake import GoneError, client
from honest import NEVER, SOON, dialer, digest_of, some_bytes

from pirate.fetch.stream import stream
from pirate.model import Address, Digest, Peer
from pirate.scope import Scope, Stop
from pirate.serve.server import WORKERS
from pirate.wire import messages

SILENT = 1000
GARBAGE = 2000
DESCRIPTORS = 1024
MB = 1024 * 1024

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


class Size(NamedTuple):
    resident: int
    threads: int
    descriptors: int


class Crowded:
    """A node in a process of its own that may open 1,024 files."""

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("crowded.py")
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, str(script), str(folder), str(DESCRIPTORS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = Address("127.0.0.1", int(self._line()))
        self.peer = Peer((self.address,))

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()

    def size(self) -> Size:
        assert self._process.stdin
        print(file=self._process.stdin, flush=True)
        return Size(*map(int, self._line().split()))

    def settled(self, before: Size) -> bool:
        """Whether it has no more descriptors than ``before``, soon."""
        end = time.monotonic() + SOON
        while (settled := self.size().descriptors > before.descriptors) and time.monotonic() < end:
            time.sleep(0.02)
        return not settled

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=SOON)


@pytest.fixture(name="content", scope="module")
def _content() -> bytes:
    return some_bytes(24 * MB)


@pytest.fixture(name="crowded")
def _crowded(share: Path, content: bytes) -> Iterator[Crowded]:
    """Run a node with one file; room in this process for all who crowd it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    (share / "file").write_bytes(content)
    with Crowded(share) as node:
        yield node
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def get(node: Crowded, digest: Digest, size: int) -> bytes:
    line = dialer()
    with contextlib.closing(line), line.talk(node.peer, NEVER, Stop()) as conversation:
        assert conversation.stat(digest, NEVER)[0].size >= size
        return b"".join(map(bytes, stream(conversation, digest, 0, size, NEVER)))


def seconds_of(node: Crowded, digest: Digest, content: bytes) -> float:
    """How long a real guest takes. One alone may wait a second for a SYN that was lost."""
    began = time.monotonic()
    assert get(node, digest, MB) == content[:MB]
    return time.monotonic() - began


@pytest.mark.parametrize("introduced", [False, True])
def test_a_thousand_silent_guests_cost_a_real_one_less_than_a_second(
    crowded: Crowded,
    content: bytes,
    introduced: bool,  # noqa: FBT001
) -> None:
    digest = digest_of(content)
    assert get(crowded, digest, MB) == content[:MB]
    before = crowded.size()
    with contextlib.ExitStack() as stack:
        for number in range(SILENT):
            host = f"127.0.{number // 250}.{number % 250 + 1}"
            line = client(crowded.address, introduced=introduced, host=host)
            with contextlib.suppress(OSError):
                stack.enter_context(line)
        crowd = crowded.size()
        # What else the machine does takes its time, too.
        assert any(seconds_of(crowded, digest, content) < 1.0 for _ in range(20))
        during = crowded.size()
    assert crowd.descriptors - before.descriptors > SILENT // 5
    assert during.threads <= before.threads + 3  # for the real ones
    assert during.resident - before.resident < 20 * MB
    assert crowded.settled(before)


def garbage(rng: random.Random) -> bytes:
    """What a fuzzer might say: noise, or something true with a few bytes changed."""
    true = messages.Read(Digest(rng.randbytes(20)), rng.getrandbits(64), rng.getrandbits(32))
    data = bytearray(rng.choice([rng.randbytes(rng.randrange(200)), true.frame(1) * 3]))
    for _ in range(rng.randrange(4)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def throw(node: Crowded, seed: int) -> None:
    """Say something wrong, before or after the hellos, and leave in some way."""
    rng = random.Random(seed)
    with contextlib.suppress(OSError, GoneError):
        host = f"127.0.2.{seed % 250 + 1}"
        with client(node.address, introduced=rng.random() < 0.5, host=host) as line:
            line.send(garbage(rng))
            if rng.random() < 0.3:
                line.sock.shutdown(socket.SHUT_WR)
            if rng.random() < 0.3:
                line.sock.settimeout(0.05)
                line.sock.recv(64)


def test_two_thousand_garbage_connections_do_not_disturb_a_real_get(
    crowded: Crowded, content: bytes
) -> None:
    digest = digest_of(content)
    assert get(crowded, digest, len(content)) == content
    before = crowded.size()
    gets = 0
    with Scope() as scope:
        for first in range(8):

            def fuzz(first: int = first) -> None:
                for seed in range(first, GARBAGE, 8):
                    throw(crowded, seed)

            scope.spawn(f"fuzz {first}", fuzz)
        while gets < 3 or any(thread.is_alive() for thread in scope._threads):
            assert get(crowded, digest, len(content)) == content
            gets += 1
    assert crowded.settled(before)
    after = crowded.size()
    assert after.threads - before.threads <= WORKERS  # those that were hired stay
    assert after.resident - before.resident < 20 * MB
