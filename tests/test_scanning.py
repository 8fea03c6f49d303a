"""Scans that have small files read by other processes."""

import os
import time
from pathlib import Path

import pytest
from honest import digest_of, some_bytes
from shelf import Shelf, note_reads

from pirate import scanning
from pirate.chain import LEAST_SEGMENT
from pirate.disk import hashers, hashing
from pirate.disk.place import Identity
from pirate.scanning import Progress
from pirate.scope import Stop


@pytest.fixture(autouse=True)
def _with_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "FEWEST_SMALL", 1)
    monkeypatch.setattr(scanning, "_ORDER_FILES", 3)
    monkeypatch.setattr(scanning, "_ORDERS", 1)
    monkeypatch.setattr(scanning, "BATCH_FILES", 7)


@pytest.fixture(name="shelf")
def _shelf(share: Path) -> Shelf:
    return Shelf(share)


@pytest.fixture(name="here")
def _read_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read by this process."""
    return note_reads(monkeypatch)


def test_small_files_are_read_by_others_and_large_ones_here(shelf: Shelf, here: list[str]) -> None:
    contents = {f"{n % 3}/{n}": b"%d" % n for n in range(40)}
    contents["large"] = some_bytes(LEAST_SEGMENT + 1)
    for name, content in contents.items():
        shelf.put(name, content)
    assert shelf.scan() == {digest_of(content): (name,) for name, content in contents.items()}
    assert here == ["large"]
    size = sum(map(len, contents.values()))
    assert shelf.library.progress == Progress(41, 41, size, size)
    for content in contents.values():
        assert shelf.content(digest_of(content)) == content


def test_what_they_have_read_is_not_read_again_after_a_restart(
    share: Path, tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        (share / str(number)).write_bytes(b"%d" % number)
    last = Identity.of((share / "9").stat())
    while not hashing.settled(last, time.time_ns()):
        time.sleep(0.01)
    state = tmp_path / "state"
    listed = Shelf(share, state=state).scan()
    asked: list[object] = []
    monkeypatch.setattr(hashers.Hashers, "ask", lambda _, listing: asked.append(listing))
    assert Shelf(share, state=state).scan() == listed
    assert not asked
    assert not here


def test_a_file_with_several_names_is_known_under_all(shelf: Shelf, here: list[str]) -> None:
    digest = shelf.put("a", b"1")
    os.link(shelf.folders[0] / "a", shelf.folders[0] / "b")
    (shelf.folders[0] / "below").mkdir()
    os.link(shelf.folders[0] / "a", shelf.folders[0] / "below" / "c")
    assert shelf.scan() == {digest: ("a", "b", "below/c")}
    assert here == []


def test_what_they_could_not_read_is_read_here(
    shelf: Shelf, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {shelf.put(str(number), b"%d" % number) for number in range(10)}

    def fails() -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(hashers, "_Hasher", fails)
    assert shelf.scan().keys() == wanted
    assert sorted(here) == [str(number) for number in range(10)]


def test_a_stop_ends_a_scan(shelf: Shelf) -> None:
    for number in range(30):
        shelf.put(str(number), b"%d" % number)
    stop = Stop()
    scan = shelf.library._scanner.scan(stop)
    next(scan)
    stop.set()
    assert len(list(scan)) < 30
