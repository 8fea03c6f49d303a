"""What every test is held to: no thread, no descriptor and no unfinished file stays behind."""

import gc
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from honest import Honest
from hypothesis import HealthCheck, settings

from pirate.disk.tree import PART_SUFFIX

# A slow machine is no fault of the code. Every run looks for new examples, but for that which
# decides on a change: it tries what it tried before.
settings.register_profile(
    "calm",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("calm")

GRACE = 20.0  # only who leaks waits as long

# Epoll and event descriptors belong to the gRPC library, which keeps them for the process.
_LIBRARIES = ("anon_inode:[",)


def _descriptors() -> dict[str, str]:
    """What is open in this process, by number; nothing where the kernel does not tell."""
    found = {}
    for link in Path("/proc/self/fd").glob("*"):
        try:
            found[link.name] = str(link.readlink())
        except OSError:  # the descriptor of this very listing
            continue
    return found


def _leaks(threads: set[threading.Thread], descriptors: dict[str, str]) -> list[str]:
    """The threads and descriptors that were not there before."""
    found = [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread not in threads and thread.is_alive()
    ]
    return found + [
        f"descriptor {number}, {what}"
        for number, what in _descriptors().items()
        if descriptors.get(number) != what and not what.startswith(_LIBRARIES)
    ]


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a descriptor or a part file behind."""
    folder: Path | None = None
    if "tmp_path" in request.fixturenames:
        folder = request.getfixturevalue("tmp_path")
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield
    end = time.monotonic() + GRACE
    while (leaks := _leaks(threads, descriptors)) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    if folder and not request.node.get_closest_marker("leaves_part_file"):
        leaks += [f"file {path}" for path in folder.rglob(f"*{PART_SUFFIX}")]
    assert not leaks, leaks


@pytest.fixture(scope="session", autouse=True)
def _no_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is remembered, by processes too, does not touch the home of who runs the tests."""
    os.environ["PIRATE_STATE"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test remembers what another has found."""
    monkeypatch.setenv("PIRATE_STATE", str(tmp_path_factory.getbasetemp() / secrets.token_hex(8)))


@pytest.fixture(name="share")
def _share(tmp_path: Path) -> Path:
    """Give an empty folder to be shared."""
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


@pytest.fixture(name="honest")
def _honest(share: Path) -> Iterator[Honest]:
    """Run a real server of ``share``, which is empty: the test fills it and calls ``scan``."""
    with Honest(share) as server:
        yield server
