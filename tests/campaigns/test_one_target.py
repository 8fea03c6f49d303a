"""Many processes, one target: one works, the others say so, and whoever works may be killed."""

import signal
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from campaigns.holders import Holders
from campaigns.place import Place
from processes.peers import Running, pirate, until

STARTS = 20
BUSY = 12


def locker(part: Path) -> int | None:
    """The process that holds the lock of a part file."""
    try:
        inode = part.stat().st_ino
    except FileNotFoundError:
        return None
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "->" not in fields and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    return None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_at_once_and_the_winner_is_killed(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    root = tmp_path_factory.mktemp("one")
    rng = Random(seed)
    with Holders(root / "holders", [5_000_000], pause=0.03) as holders, ExitStack() as stack:
        place = Place(root / "place", holders.samples[0])
        target = ("-o", place.folder / place.sample.name)
        get = ("get", place.sample.digest, *holders.all(), *target)
        started = [stack.enter_context(Running(*get)) for _ in range(STARTS)]
        part = place.folder / place.names[1]
        assert until(lambda: locker(part) is not None)
        holders.asked.wait(reads=rng.randint(1, 40), seconds=10)
        winner = locker(part)
        [killed] = [each for each in started if each.process.pid == winner]
        killed.send(signal.SIGKILL)
        ends = [each.ends() for each in started]
        codes = [each.code for each in ends]
        assert codes.count(-signal.SIGKILL) == 1
        assert set(codes) <= {-signal.SIGKILL, BUSY, 0}
        assert BUSY in codes
        assert all("busy" in each.err for each in ends if each.code == BUSY)
        assert place.misnamed() == []
        assert pirate(*get).code == 0
        assert place.finished() == []
