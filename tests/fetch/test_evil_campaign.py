"""The campaign of scripts/campaigns/liars, short, and what goes with it: speed and memory."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from campaigns.lying import slow_ratio
from honest import Honest

MB = 1024 * 1024

ROOT = Path(__file__).parents[2]

# A process counts what it shared with its parent when it was forked: this one is small.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def memory_of(*command: object) -> int:
    """The most memory that a command has at any time, in MB."""
    measured = [sys.executable, "-c", MEASURE, sys.executable, *map(str, command)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": os.devnull}
    done = subprocess.run(measured, capture_output=True, env=environment, check=True)
    return int(done.stdout)


def test_twelve_downloads_among_liars_meet_every_bar() -> None:
    options = ["--runs=12", "--rounds=0", "--seed=3"]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "campaigns" / "liars", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "completed                             12" in done.stdout


def test_a_holder_of_a_tenth_of_the_speed_costs_little() -> None:
    assert any(slow_ratio(3) < 1.3 for _ in range(4))  # what else the machine does only adds


@pytest.mark.parametrize("holders", [1, 3])
def test_the_memory_of_a_get_is_flat(tmp_path: Path, share: Path, holders: int) -> None:
    with (share / "file").open("wb") as file:
        for number in range(200):
            file.write(number.to_bytes(1) * MB)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Honest(share, name=str(n))) for n in range(holders)]
        [entry] = servers[0].library.catalog
        peers = [word for server in servers for word in ("--peer", server.address)]
        target = tmp_path / "copy"
        used = memory_of("-m", "pirate", "get", entry.digest, "-o", target, *peers)
    assert target.stat().st_size == 200 * MB
    assert used - memory_of("-c", "pass") < 40
