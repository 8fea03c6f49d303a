import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from honest import SOON, digest_of
from shelf import Shelf

from pirate.disk.place import Place
from pirate.errors import NotFoundError, StaleError
from pirate.scope import Scope

OLD = 10**18  # a time in ns, long ago, that a file is given so that it is no longer young


@pytest.fixture(name="shelf")
def _shelf(share: Path) -> Shelf:
    return Shelf(share)


# Opening.


def test_what_is_not_shared_is_not_found(shelf: Shelf) -> None:
    shelf.scan()
    with pytest.raises(NotFoundError):
        shelf.library.entry(digest_of(b"x"))
    with pytest.raises(NotFoundError):
        shelf.content(digest_of(b"x"))


def test_deleted_files_disappear(shelf: Shelf) -> None:
    digest = shelf.put("a", b"1")
    shelf.scan()
    (shelf.folders[0] / "a").unlink()
    assert shelf.scan() == {}
    with pytest.raises(NotFoundError):
        shelf.content(digest)


@pytest.mark.parametrize("content", [b"2", b"longer"])
def test_a_file_that_has_changed_is_stale_and_a_scan_is_asked_for(
    shelf: Shelf, content: bytes
) -> None:
    digest = shelf.put("a", b"1")
    os.utime(shelf.folders[0] / "a", ns=(OLD, OLD))
    shelf.scan()
    shelf.put("a", content)
    with pytest.raises(StaleError):
        shelf.content(digest)
    assert shelf.library._wanted.is_set()
    assert shelf.scan() == {digest_of(content): ("a",)}


def test_another_place_of_the_same_file_will_do(shelf: Shelf) -> None:
    digest = shelf.put("a", b"1")
    shelf.put("b", b"1")
    shelf.scan()
    (shelf.folders[0] / "a").unlink()
    assert shelf.content(digest) == b"1"
    shelf.put("b", b"other")
    with pytest.raises(StaleError):
        shelf.content(digest)


def test_a_change_while_a_file_is_open_is_noticed(shelf: Shelf) -> None:
    digest = shelf.put("a", b"1")
    os.utime(shelf.folders[0] / "a", ns=(OLD, OLD))
    shelf.scan()
    with shelf.library.open(digest) as source:
        source.check()
        with (shelf.folders[0] / "a").open("ab") as file:
            file.write(b"!")
        with pytest.raises(StaleError):
            source.check()


# The thread.


@pytest.fixture(name="running")
def _running(shelf: Shelf) -> Iterator[Shelf]:
    with Scope() as scope:
        scope.spawn("library", lambda: shelf.library.run(scope.stop))
        assert shelf.library.scanned.wait(SOON)
        yield shelf


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + SOON
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return holds


def test_a_stale_file_is_soon_listed_as_what_it_is_now(running: Shelf) -> None:
    digest = running.put("a", b"1")
    running.library.rescan()
    assert until(lambda: len(running.library.catalog) == 1)
    running.put("a", b"other")
    with pytest.raises(StaleError):
        running.content(digest)
    assert until(lambda: [e.digest for e in running.library.catalog] == [digest_of(b"other")])


def test_readers_see_whole_snapshots_while_files_come_and_go(running: Shelf) -> None:
    done = threading.Event()

    def change() -> None:
        for number in range(60):
            running.put(f"{number % 7}", f"{number}".encode())
            running.library.rescan()
        done.set()

    with Scope() as scope:
        scope.spawn("change", change)
        while not done.is_set():
            catalog = running.library.catalog
            assert catalog.size == sum(entry.size for entry in catalog)
            for entry in catalog:
                with contextlib.suppress(StaleError, NotFoundError):
                    assert len(running.content(entry.digest)) <= 2


def test_a_look_that_is_asked_for_is_soon_taken(running: Shelf) -> None:
    digest = running.put("folder/a", b"1")
    running.put("b", b"2")
    running.library.look([Place(str(running.folders[0]), ("folder",))])
    assert until(lambda: [entry.digest for entry in running.library.catalog] == [digest])
