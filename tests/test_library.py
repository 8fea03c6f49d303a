import errno
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from honest import digest_of, some_bytes
from shelf import Shelf

from pirate import library as library_module
from pirate import scanning
from pirate.disk import hashing
from pirate.disk.hashing import Hashed, Job, Sheet
from pirate.disk.place import Place
from pirate.scanning import Progress
from pirate.scope import Stop
from pirate.wire.fields import NAME_LIMIT

OLD = 10**18  # a time in ns, long ago, that a file is given so that it is no longer young


@pytest.fixture(name="shelf")
def _shelf(share: Path) -> Shelf:
    return Shelf(share)


@pytest.fixture(name="_young")
def _all_young(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that tests write are young, however long the test takes."""
    monkeypatch.setattr(hashing, "YOUNG_NS", 10**15)


@pytest.fixture(name="read")
def _read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the name of every file that is read."""
    names: list[str] = []
    real = hashing.hash_one

    def noted(job: Job, stop: Stop, *_: object) -> Hashed | None:
        names.append("/".join(job.parts))
        hashed = real(job, stop)
        # Files that tests write may be young; here they count as old.
        return hashed and hashed._replace(settled=True)

    monkeypatch.setattr(hashing, "hash_one", noted)
    return names


def test_every_file_is_listed_by_its_digest_in_order(shelf: Shelf) -> None:
    digests = {shelf.put(f"folder/{n}", some_bytes(n * 100, n)): (f"folder/{n}",) for n in range(9)}
    assert shelf.scan() == digests
    catalog = shelf.library.catalog
    assert [entry.digest for entry in catalog] == sorted(digests)
    assert catalog.size == sum(n * 100 for n in range(9))
    for digest in digests:
        assert digest_of(shelf.content(digest)) == digest
        assert shelf.library.entry(digest).digest == digest


def test_a_file_that_lies_there_twice_is_listed_once_with_both_names(shelf: Shelf) -> None:
    digest = shelf.put("b/second", b"same")
    shelf.put("a/first", b"same")
    assert shelf.scan() == {digest: ("a/first", "b/second")}
    assert shelf.library.catalog.size == 4


def test_several_folders_are_one_library(share: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (share / "same").write_bytes(b"1")
    (other / "same").write_bytes(b"2")
    (other / "twin").write_bytes(b"1")
    shelf = Shelf(share, other)
    assert shelf.scan() == {digest_of(b"1"): ("same", "twin"), digest_of(b"2"): ("same",)}


def test_a_file_with_several_hard_links_is_read_once(shelf: Shelf, read: list[str]) -> None:
    digest = shelf.put("b", b"same")
    os.link(shelf.folders[0] / "b", shelf.folders[0] / "a")
    os.link(shelf.folders[0] / "b", shelf.folders[0] / "c")
    assert shelf.scan() == {digest: ("a", "b", "c")}
    assert read == ["a"]
    (shelf.folders[0] / "a").unlink()
    assert shelf.scan() == {digest: ("b", "c")}
    assert shelf.content(digest) == b"same"


def test_a_folder_that_is_shared_with_the_one_around_it_is_read_once(
    share: Path, read: list[str]
) -> None:
    (share / "sub").mkdir()
    shelf = Shelf(share, share / "sub", share)
    digest = shelf.put("sub/file", b"1")
    assert shelf.scan() == {digest: ("file", "sub/file")}
    assert len(read) == 1
    shelf.put("sub/file", b"22")
    assert shelf.scan() == {digest_of(b"22"): ("file", "sub/file")}
    assert len(read) == 2


@pytest.mark.usefixtures("_young")
def test_all_links_of_a_file_that_cannot_be_read_are_not_listed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put("a", b"1")
    os.link(shelf.folders[0] / "a", shelf.folders[0] / "b")
    shelf.scan()

    def fails(*_: object) -> Hashed | None:
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(hashing, "hash_one", fails)
    assert shelf.scan() == {}  # they are read again
    assert caplog.text.count("not shared") == 1


def test_an_empty_folder_is_an_empty_catalog_with_a_revision(shelf: Shelf) -> None:
    assert shelf.scan() == {}
    assert shelf.library.catalog.revision > 0
    assert shelf.library.scanned.is_set()


def test_the_revision_changes_only_with_the_entries(shelf: Shelf) -> None:
    shelf.put("a", b"1")
    revisions = []
    for change in (
        lambda: None,
        lambda: None,
        lambda: shelf.put("b", b"2"),
        lambda: os.utime(shelf.folders[0] / "b"),
        lambda: (shelf.folders[0] / "b").rename(shelf.folders[0] / "c"),
        (shelf.folders[0] / "c").unlink,
    ):
        change()
        shelf.scan()
        revisions.append(shelf.library.catalog.revision)
    assert revisions[0] == revisions[1]
    assert revisions[2] == revisions[3]
    assert len(set(revisions)) == 4
    assert shelf.changes == 4


def test_a_rescan_reads_only_what_has_changed(shelf: Shelf, read: list[str]) -> None:
    for name in ("a", "b", "c"):
        shelf.put(name, name.encode())
    shelf.scan()
    assert sorted(read) == ["a", "b", "c"]
    read.clear()
    shelf.scan()
    assert read == []
    shelf.put("b", b"changed")
    shelf.put("d", b"new")
    shelf.scan()
    assert sorted(read) == ["b", "d"]


def test_a_young_file_is_read_again(shelf: Shelf) -> None:
    digest = shelf.put("a", b"1")
    shelf.scan()
    before = (shelf.folders[0] / "a").stat()
    index, place = shelf.library._index, Place(str(shelf.folders[0]), ("a",))
    [(_, identity)] = index.places(digest)
    wrong = Hashed(digest_of(b"0"), b"", identity, settled=False)
    index.learn(Sheet.of(place.folder, {"a": wrong}))
    assert shelf.scan() == {digest: ("a",)}
    assert (shelf.folders[0] / "a").stat() == before


@pytest.mark.usefixtures("_young")
def test_a_young_file_stays_listed_while_it_is_read_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = shelf.put("young", b"1")
    shelf.scan()
    shelf.put("larger, so first", b"22")
    shelf.library._scanner._threads = 1
    monkeypatch.setattr(library_module, "PUBLISH_SECONDS", -1.0)
    monkeypatch.setattr(library_module, "PUBLISH_SHARE", math.inf)
    monkeypatch.setattr(hashing, "_BATCH_FILES", 1)
    listed: list[bool] = []
    real = shelf.library._publish

    def noting() -> None:
        real()
        listed.append(any(entry.digest == young for entry in shelf.library.catalog))

    monkeypatch.setattr(shelf.library, "_publish", noting)
    shelf.scan()
    assert len(listed) > 2
    assert all(listed)


def test_what_is_ready_is_published_while_the_first_scan_goes_on(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_module, "PUBLISH_SECONDS", -1.0)
    monkeypatch.setattr(library_module, "PUBLISH_SHARE", math.inf)
    monkeypatch.setattr(hashing, "_BATCH_FILES", 1)
    for name in ("a", "b", "c"):
        shelf.put(name, name.encode())
    shelf.scan()
    assert shelf.changes == 3


def test_publishing_takes_a_small_share_of_the_time(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        """Every look at it takes a second, so publishing does."""

        now = 0.0
        time_ns = staticmethod(time.time_ns)

        def monotonic(self) -> float:
            self.now += 1.0
            return self.now

    monkeypatch.setattr(library_module, "time", Clock())
    monkeypatch.setattr(hashing, "_BATCH_FILES", 1)
    for number in range(50):
        shelf.put(str(number), b"%d" % number)
    shelf.scan()
    assert 3 <= shelf.changes <= 7


@pytest.mark.parametrize("rests", ["size", "time"])
def test_what_changed_while_it_was_read_is_read_again_when_it_rests(
    shelf: Shelf, read: list[str], monkeypatch: pytest.MonkeyPatch, rests: str
) -> None:
    monkeypatch.setattr(scanning, "REST_NS", 10**15)
    shelf.put("log", b"1")
    with monkeypatch.context() as patch:
        patch.setattr(hashing, "hash_one", lambda *_: None)
        assert shelf.scan() == {}
    for size in (2, 3):
        shelf.put("log", b"1" * size)
        assert shelf.scan() == {}
    assert read == []
    if rests == "time":
        shelf.put("log", b"1111")
        os.utime(shelf.folders[0] / "log", ns=(OLD, OLD))
    assert len(shelf.scan()) == 1


def test_how_much_is_hashed_can_be_seen(shelf: Shelf) -> None:
    for number in range(3):
        shelf.put(str(number), some_bytes(1000, number))
    shelf.scan()
    assert shelf.library.progress == Progress(3, 3, 3000, 3000)


def gone(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def replaced(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("trouble", [gone, linked, replaced])
def test_a_file_that_cannot_be_read_any_more_costs_only_itself(
    shelf: Shelf,
    trouble: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept, lost = shelf.put("kept", b"1"), shelf.put("lost", b"2")
    assert shelf.scan().keys() == {kept, lost}
    shelf.put("lost", b"changed, so that it is read again")
    real = hashing.hash_one

    def late(job: Job, stop: Stop, *_: object) -> Hashed | None:
        if job.parts == ("lost",):
            trouble(shelf.folders[0] / "lost")
        return real(job, stop)

    monkeypatch.setattr(hashing, "hash_one", late)
    assert shelf.scan().keys() == {kept}
    assert caplog.text.count("not shared") == 1
    assert "lost" in caplog.text


def test_trouble_is_told_once_and_again_only_if_it_comes_back(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shelf.folders[0]
    folder.rmdir()
    for _ in range(3):
        assert shelf.scan() == {}
    assert caplog.text.count("not shared") == 1
    folder.mkdir()
    shelf.scan()
    folder.rmdir()
    shelf.scan()
    assert caplog.text.count("not shared") == 2


# Names.


def test_a_name_that_is_no_utf_8_is_listed_legibly(shelf: Shelf) -> None:
    shelf.put(os.fsdecode(b"caf\xe9"), b"1")
    assert list(shelf.scan().values()) == [("caf\ufffd",)]


def test_a_path_that_is_too_long_loses_its_folders(shelf: Shelf) -> None:
    name = os.fsdecode(b"\xff" * 255)
    deep = "/".join(["d" * 200] * 5) + "/short"
    shelf.put(name, b"1")
    shelf.put(deep, b"2")
    assert len(deep) < NAME_LIMIT
    shelf.put("/".join(["d" * 200] * 6) + "/short", b"3")
    names = {names[0] for names in shelf.scan().values()}
    assert names == {"\ufffd" * 255, deep, "short"}


def test_a_file_with_very_many_names_is_listed_with_some(shelf: Shelf) -> None:
    for number in range(40):
        shelf.put(f"{number:02}", b"same")
    [names] = shelf.scan().values()
    assert names == tuple(f"{number:02}" for number in range(16))


# A look at some places.


def look(shelf: Shelf, *paths: str) -> set[str]:
    """The names that are listed after a look at files and folders."""
    places = [Place(str(shelf.folders[0]), tuple(filter(None, path.split("/")))) for path in paths]
    shelf.library.scan(Stop(), places)
    return {name for entry in shelf.library.catalog for name in entry.names}


def test_a_look_finds_what_came_changed_and_went_there_and_nowhere_else(shelf: Shelf) -> None:
    for name in ("a/1", "a/b/2", "c/3", "4"):
        shelf.put(name, name.encode())
    shelf.scan()
    folder = shelf.folders[0]
    shelf.put("a/b/new", b"new")
    shelf.put("c/new", b"also new")
    (folder / "a" / "1").unlink()
    (folder / "4").unlink()
    assert look(shelf, "nothing", "c/nothing/at/all", "4/x") == {"a/1", "a/b/2", "c/3", "4"}
    assert look(shelf, "a/b") == {"a/1", "a/b/2", "a/b/new", "c/3", "4"}
    assert look(shelf, "a/1", "c/new") == {"a/b/2", "a/b/new", "c/3", "c/new", "4"}
    shelf.put("c/3", b"changed")
    assert look(shelf, "c/3") == {"a/b/2", "a/b/new", "c/3", "c/new", "4"}
    assert digest_of(b"changed") in {entry.digest for entry in shelf.library.catalog}
    (folder / "a").rename(folder / "moved")
    assert look(shelf, "a", "moved") == {"moved/b/2", "moved/b/new", "c/3", "c/new", "4"}
    assert look(shelf, "") == {"moved/b/2", "moved/b/new", "c/3", "c/new"}


def test_a_look_goes_nowhere_that_a_scan_does_not(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_bytes(b"secret")
    (shelf.folders[0] / "link").symlink_to(tmp_path / "secret")
    (shelf.folders[0] / "file").symlink_to(tmp_path / "secret" / "file")
    for name in (".hidden", ".hid/den"):
        shelf.put(name, b"hidden")
    assert look(shelf, "link", "link/file", "file", ".hidden", ".hid", ".hid/den") == set()


def test_a_file_that_becomes_a_folder_is_one_after_a_look(shelf: Shelf) -> None:
    shelf.put("a", b"1")
    shelf.scan()
    (shelf.folders[0] / "a").unlink()
    shelf.put("a/b", b"2")
    assert look(shelf, "a") == {"a/b"}
    (shelf.folders[0] / "a" / "b").unlink()
    (shelf.folders[0] / "a").rmdir()
    shelf.put("a", b"3")
    assert look(shelf, "a") == {"a"}


def test_many_files_are_found_some_at_a_time(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "BATCH_FILES", 4)
    names = {f"{number % 3}/{number}" for number in range(22)}
    for name in names:
        shelf.put(name, name.encode())
    shelf.scan()
    assert {entry.names[0] for entry in shelf.library.catalog} == names
    (shelf.folders[0] / "2" / "2").unlink()
    shelf.scan()
    assert len(shelf.library.catalog) == 21
