"""One download from an honest holder among liars, chosen at random: what it cost, who was named."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple
from unittest import mock

import vouching
from evil import Holder
from fake import Fake
from fetch.rig import Rig
from honest import digest_of, some_bytes

from pirate.chain import LEAST_SEGMENT, segment_size, segments
from pirate.errors import LiedError, PirateError
from pirate.fetch import board
from pirate.policy import plan
from pirate.policy.connections import CONNECTIONS

KIB, MIB = 1024, 1024 * 1024
MOST_LIARS = 5
SIZES = (
    *(1, LEAST_SEGMENT - 1, LEAST_SEGMENT, LEAST_SEGMENT + 1, 2 * LEAST_SEGMENT),
    *(700_000, 16 * LEAST_SEGMENT, 3 * MIB + 12_345),
)
RUN_SECONDS = 30.0

# How far apart holders answer, in seconds.
APART = 0.02

SLOW_BYTES = 16 * MIB
LINE_RATE = 20 * MIB

HONEST = "honest"

# Makes a holder of some bytes that is no honest one, the random source deciding what is free.
Make = Callable[[bytes, Random], Holder]


def _segment(truth: bytes, rng: Random) -> int:
    return rng.randrange(segments(len(truth)))


def _other(truth: bytes, rng: Random) -> bytes:
    return rng.randbytes(len(truth))


def _some(truth: bytes, rng: Random) -> set[int]:
    return {_segment(truth, rng) for _ in range(4)}


# Of files of any size.
SIMPLE: dict[str, Make] = {
    "flips a bit": lambda truth, rng: vouching.flips(truth, _segment(truth, rng)),
    "flips some": lambda truth, rng: vouching.flips_some(truth, _some(truth, rng)),
    "alternates": lambda truth, rng: vouching.alternates(truth, rng.randint(1, 3)),
    "another file": lambda truth, rng: vouching.another_file(truth, _other(truth, rng)),
    "another's chain": lambda truth, rng: vouching.another_chain(truth, _other(truth, rng)),
    "claims more": lambda truth, rng: vouching.resized(truth, len(truth) + rng.randint(1, MIB)),
    "claims less": lambda truth, rng: vouching.resized(truth, rng.randrange(len(truth))),
}
# Of files of two segments at least.
CHAINED: dict[str, Make] = {
    "invents states": lambda truth, rng: vouching.invents_states(truth, rng.randrange(99)),
    "invents one state": lambda truth, rng: vouching.invents_one_state(truth, _segment(truth, rng)),
    "misnames its chain": lambda truth, _: vouching.misnames_chain(truth),
    "rejoins": lambda truth, rng: vouching.rejoins(truth, rng.randrange(1, segments(len(truth)))),
}


class Run(NamedTuple):
    """What one download came to.

    ``limit``: how many holders were asked at once. ``waste``: segments' worth of bytes that
    came and did not end in the file.
    """

    size: int
    kinds: tuple[str, ...]
    limit: int
    wrong: bool
    error: str
    waste: float
    named: int
    accused: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.size} bytes, -s {self.limit}, among {', '.join(self.kinds)}"

    @property
    def fair(self) -> bool:
        """Whether all were asked, so that a false chain could be told at the start."""
        return self.limit > len(self.kinds)


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """Let all answer before more than tests is asked for, and take nothing for late.

    Nobody dawdles here, but a busy machine does, and what that costs is not the liars' doing:
    what a chain that is false in one place costs is bounded only if it can be told at the start.
    """
    with (
        mock.patch.object(board, "HEAR_SECONDS", RUN_SECONDS),
        mock.patch.object(plan, "LEAST_PATIENCE", RUN_SECONDS),
    ):
        yield


def run(rng: Random) -> Run:
    """One to five liars and one honest holder, of a random file, in a random order."""
    truth = some_bytes(rng.choice(SIZES), rng.randrange(2**32))
    makes = SIMPLE | (CHAINED if segments(len(truth)) > 1 else {})
    kinds = tuple(rng.choice(sorted(makes)) for _ in range(rng.randint(1, MOST_LIARS)))
    holders = [(kind, makes[kind](truth, rng)) for kind in kinds]
    holders.insert(rng.randint(0, len(kinds)), (HONEST, vouching.honest(truth)))
    for _, holder in holders:
        holder.hesitates = rng.choice((0.0, rng.uniform(0, APART)))
    limit = rng.choice((1, 2, *[8] * 8))
    began = time.monotonic()
    error, received = "", len(truth)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rig = Rig(folder, seconds=RUN_SECONDS, holders=limit)
        stack.enter_context(unhurried())
        peers = [stack.enter_context(Fake(holder, name=name)).peer for name, holder in holders]
        try:
            received = rig.get(digest_of(truth), *peers)[1].received
        except PirateError as problem:
            error = f"{type(problem).__name__}: {problem}"
        file = folder / "file"
        wrong = file.exists() and file.read_bytes() != truth
    lied = [peer.name for peer, why, _ in rig.watcher.dropped_peers if isinstance(why, LiedError)]
    named = sum(name != HONEST for name in lied)
    return Run(
        len(truth),
        kinds,
        limit,
        wrong,
        error,
        (received - len(truth)) / segment_size(len(truth)),
        named,
        len(lied) - named,
        time.monotonic() - began,
    )


def slow_ratio(rounds: int) -> float:
    """How many times longer a download takes with a second holder of a tenth of the speed.

    The good one's connections are limited each, as by the core that each keeps busy. The
    quickest runs are compared, since what else the machine does only adds.
    """
    truth = some_bytes(SLOW_BYTES)

    def seconds(*holders: Holder) -> float:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            peers = [stack.enter_context(Fake(holder)).peer for holder in holders]
            return Rig(folder).get(digest_of(truth), *peers)[1].elapsed

    good = vouching.slow_lines(truth, LINE_RATE)
    good.hesitates = APART  # the slow one is the first
    tenth = vouching.slow(truth, CONNECTIONS * LINE_RATE / 10)
    times = [(seconds(good), seconds(tenth, good)) for _ in range(rounds)]
    return min(both for _, both in times) / min(one for one, _ in times)
