"""Downloads under a limit on speed: piece by piece, smooth, and nobody is dropped for it."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from evil import Holder
from fake import Fake
from fetch.rig import Rig
from honest import QUICK, digest_of, some_bytes
from vouching import honest

from pirate.deadline import Deadline
from pirate.fetch.paced import Paced
from pirate.model import Digest
from pirate.net.channel import Channel
from pirate.scope import Stop
from pirate.throttle import LEAST_PIECE, Throttle

TRUTH = some_bytes(600_000)
DIGEST = digest_of(TRUTH)


@dataclass
class Endless:
    """A source that gives all that it was asked for, and remembers what that was."""

    asked: list[tuple[int, int]] = field(default_factory=list)
    owed: int = 0

    @property
    def channel(self) -> Channel:
        raise NotImplementedError

    def read(self, _: Digest, offset: int, length: int) -> None:
        assert self.owed == 0
        self.asked.append((offset, length))
        self.owed = length

    def data_into(self, view: memoryview, _: Deadline = ...) -> int:  # type: ignore[assignment]
        count = min(len(view), self.owed, 1000)
        self.owed -= count
        return count


def test_ranges_are_asked_for_in_pieces_and_in_order() -> None:
    source, stop = Endless(), Stop()
    stop.set()
    paced = Paced(source, Throttle(1.0), stop)
    paced.read(DIGEST, 0, LEAST_PIECE + 10)
    paced.read(DIGEST, 50_000, 20)
    view, rest = memoryview(bytearray(LEAST_PIECE)), LEAST_PIECE + 30
    while rest:
        rest -= paced.data_into(view)
    assert source.asked == [(0, LEAST_PIECE), (LEAST_PIECE, 10), (50_000, 20)]


@pytest.mark.parametrize("make", [honest, Holder], ids=["chained", "in order"])
def test_a_download_keeps_to_its_limit(tmp_path: Path, make: type[Holder]) -> None:
    rate = 400_000
    rig = Rig(tmp_path, throttle=Throttle(rate))
    began = time.monotonic()
    with Fake(make(TRUTH)) as fake:
        _, received = rig.get(DIGEST, fake.peer)
    took = time.monotonic() - began
    expected = received.received / rate
    assert 0.85 * expected < took < expected + QUICK
    assert received.received < len(TRUTH) + 200_000
    assert rig.watcher.dropped_peers == []


def test_all_holders_together_keep_to_it(tmp_path: Path) -> None:
    rate = 400_000
    rig = Rig(tmp_path, throttle=Throttle(rate))
    began = time.monotonic()
    with Fake(honest(TRUTH), name="a") as one, Fake(honest(TRUTH), name="b") as two:
        _, received = rig.get(DIGEST, one.peer, two.peer)
    expected = received.received / rate
    assert 0.85 * expected < time.monotonic() - began < expected + QUICK
    assert len(received.sources) == 2
