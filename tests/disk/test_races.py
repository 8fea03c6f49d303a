"""Somebody swaps a folder for a symlink as fast as they can: nothing outside is ever read."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from honest import SOON

from pirate.disk.opening import open_file, open_folder
from pirate.disk.tree import walk
from pirate.scope import Scope, Stop

SECONDS = 1.0
SECRET = b"secret"

Look = Callable[[Path], bytes]


@contextmanager
def swapping(share: Path) -> Iterator[None]:
    """Swap ``share/a``, a folder, for a symlink to one outside and back, until the end."""
    outside = share.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(SECRET)
    (share / "a").mkdir()
    (share / "a" / "file").write_bytes(b"shared")
    aside, link = share.parent / "aside", share.parent / "link"
    link.symlink_to(outside)

    def move(path: Path, to: Path) -> None:
        while True:
            try:
                path.rename(to)
            except OSError:  # who makes folders has put one in the way
                for made in (to / "made", to):
                    with suppress(OSError):
                        made.rmdir()
            else:
                return

    def swap(stop: Stop) -> None:
        while not stop.is_set:
            move(share / "a", aside)
            move(link, share / "a")
            move(share / "a", link)
            move(aside, share / "a")

    with Scope() as scope:
        scope.spawn("swap", lambda: swap(scope.stop))
        yield


def escapes(share: Path, look: Look, seconds: float = SECONDS) -> bool:
    """Whether ``look`` finds what lies outside, within so much time."""
    end = time.monotonic() + seconds
    with swapping(share):
        while time.monotonic() < end:
            with suppress(OSError):
                if look(share) == SECRET:
                    return True
    return False


def naive(share: Path) -> bytes:
    path = share / "a" / "file"
    if not path.resolve().is_relative_to(share.resolve()):
        raise OSError("outside")
    return path.read_bytes()


def by_descriptors(share: Path) -> bytes:
    file = open_file(str(share), ("a", "file"))
    try:
        return os.read(file, 100)
    finally:
        os.close(file)


def by_walking(share: Path) -> bytes:
    found = list(walk(str(share), lambda *_: None))
    return SECRET if any(each.identity.size == len(SECRET) + 1 for each in found) else b""


def by_making(share: Path) -> bytes:
    os.close(open_folder(str(share), ("a", "made")))
    return SECRET if (share.parent / "outside" / "made").exists() else b""


def test_the_naive_way_of_opening_escapes_so_that_the_race_is_a_real_one(share: Path) -> None:
    assert escapes(share, naive, SOON)


@pytest.mark.parametrize("look", [by_descriptors, by_making])
def test_opening_never_leads_outside(share: Path, look: Look) -> None:
    assert not escapes(share, look)


def test_walking_never_leads_outside(share: Path) -> None:
    outside = share.parent / "outside"
    with_size = len(SECRET) + 1

    def look(share: Path) -> bytes:
        if (outside / "file").stat().st_size != with_size:
            (outside / "file").write_bytes(b"x" * with_size)
        return by_walking(share)

    assert not escapes(share, look)
