"""Who gives files to the downloads of a campaign: real servers, each behind a tap."""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple, Self

from campaigns.tap import Asked, Tap
from processes.peers import Serving

from pirate.chain import length, segments, start
from pirate.model import Digest


class Sample(NamedTuple):
    """A file that all holders share."""

    name: str
    content: bytes

    @property
    def digest(self) -> Digest:
        """What it is asked for by."""
        return Digest(hashlib.sha1(self.content).digest())

    @property
    def segments(self) -> int:
        """How many segments it has."""
        return segments(len(self.content))

    def segment(self, index: int) -> bytes:
        """The bytes of one segment."""
        size = len(self.content)
        return self.content[start(size, index) :][: length(size, index)]

    def bytes_of(self, indexes: set[int]) -> int:
        """How many bytes these segments have together."""
        return sum(length(len(self.content), index) for index in indexes)


class Holders:
    """Several processes that share the same files while the ``with`` block runs."""

    def __init__(
        self, folder: Path, sizes: list[int], *, count: int = 1, pause: float = 0.0
    ) -> None:
        """``folder`` is theirs; ``pause`` is the taps'."""
        self.asked = Asked()
        self.samples = [
            Sample(f"sample-{size}.bin", Random(size).randbytes(size)) for size in sizes
        ]
        self._folder = folder
        self._count = count
        self._pause = pause
        self._stack = ExitStack()
        self._taps: list[Tap] = []

    def __enter__(self) -> Self:
        shared = self._folder / "shared"
        shared.mkdir(parents=True)
        for sample in self.samples:
            (shared / sample.name).write_bytes(sample.content)
        with self._stack:
            for _ in range(self._count):
                server = self._stack.enter_context(Serving(shared, "-q"))
                tap = self._stack.enter_context(Tap(server.address, self.asked, self._pause))
                self._taps.append(tap)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def pace(self, pause: float) -> None:
        """From now on this is the taps' pause."""
        for tap in self._taps:
            tap.pause = pause

    def all(self) -> list[str]:
        """Arguments that name them."""
        return _named(self._taps)

    def some(self, rng: Random) -> list[str]:
        """Arguments that name one of them or more."""
        return _named(rng.sample(self._taps, rng.randint(1, self._count)))

    def indexes(self, sample: Sample) -> list[int]:
        """Which segments of ``sample`` were asked for, in order, as often as they were."""
        segment = length(len(sample.content), 0)
        return [offset // segment for offset, _ in self.asked.reads]


def _named(taps: list[Tap]) -> list[str]:
    return [word for tap in taps for word in ("--peer", str(tap.address))]
