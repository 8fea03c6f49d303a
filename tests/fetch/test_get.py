"""Where a file ends: targets, names that are taken, streams, and waiting for a holder."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest
from evil import Holder, dying, frozen, liar, stale
from fake import Fake
from fetch.rig import STALL, Rig
from honest import QUICK, SOON, digest_of, some_bytes

from pirate.disk.partfile import PartFile
from pirate.errors import (
    ExistsError,
    IntegrityError,
    LocalIOError,
    NotFoundError,
    StoppedError,
    TimedOutError,
    TransferFailedError,
)
from pirate.fetch import target as target_module
from pirate.fetch.target import IfExists, Target, Verdict
from pirate.model import Address, Peer

TRUTH = some_bytes(700_000)
DIGEST = digest_of(TRUTH)
GONE = Peer((Address("127.0.0.1", 1),))


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Rig:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return Rig(folder)


def holder(*names: str) -> Fake:
    return Fake(Holder(TRUTH, names=names or ("file",)))


# A name that is taken.


@pytest.mark.parametrize("if_exists", IfExists)
def test_a_target_that_holds_the_file_costs_no_network(rig: Rig, if_exists: IfExists) -> None:
    (rig.folder / "file").write_bytes(TRUTH)
    rig.if_exists = if_exists
    verdict, received = rig.get(DIGEST, GONE)
    assert verdict is Verdict.PRESENT
    assert (received.received, received.size) == (0, len(TRUTH))
    assert rig.finished == {"file"}


@pytest.mark.parametrize("name", ["file", None])
@pytest.mark.parametrize(
    ("if_exists", "finished", "kept"),
    [
        (IfExists.FAIL, {"file"}, b"mine"),
        (IfExists.SKIP, {"file"}, b"mine"),
        (IfExists.OVERWRITE, {"file"}, TRUTH),
        (IfExists.RENAME, {"file", "file (2)"}, b"mine"),
    ],
)
def test_a_target_with_other_content_is_treated_as_the_user_says(
    rig: Rig, name: str | None, if_exists: IfExists, finished: set[str], kept: bytes
) -> None:
    (rig.folder / "file").write_bytes(b"mine")
    rig.name, rig.if_exists = name, if_exists
    with holder() as fake:
        if if_exists is IfExists.FAIL:
            with pytest.raises(ExistsError, match="other content"):
                rig.get(DIGEST, fake.peer)
        else:
            verdict, _ = rig.get(DIGEST, fake.peer)
            skipped = if_exists is IfExists.SKIP
            assert verdict is (Verdict.SKIPPED if skipped else Verdict.WANTED)
    assert rig.finished == finished
    assert (rig.folder / "file").read_bytes() == kept
    if if_exists is IfExists.RENAME:
        assert (rig.folder / "file (2)").read_bytes() == TRUTH
    assert rig.path
    assert not list(rig.folder.glob(".*"))


def test_the_next_free_number_is_taken_or_the_one_that_holds_the_file(rig: Rig) -> None:
    rig.if_exists = IfExists.RENAME
    for name in ("a.txt", "a (2).txt"):
        (rig.folder / name).write_bytes(b"mine")
    rig.name = "a.txt"
    with holder() as fake:
        assert rig.get(DIGEST, fake.peer)[0] is Verdict.WANTED
    assert rig.path
    assert rig.path.name == "a (3).txt"
    assert rig.get(DIGEST, GONE)[0] is Verdict.PRESENT


def test_a_name_of_255_bytes_can_be_numbered(rig: Rig) -> None:
    rig.if_exists, rig.name = IfExists.RENAME, "x" * 255
    (rig.folder / rig.name).write_bytes(b"mine")
    with holder() as fake:
        rig.get(DIGEST, fake.peer)
    assert rig.finished == {"x" * 255, "x" * 251 + " (2)"}


@pytest.mark.parametrize("if_exists", [IfExists.FAIL, IfExists.OVERWRITE])
def test_a_folder_as_target_is_told_before_anything_is_fetched(
    rig: Rig, if_exists: IfExists
) -> None:
    (rig.folder / "file").mkdir()
    rig.if_exists = if_exists
    with pytest.raises(ExistsError):
        rig.get(DIGEST, GONE)
    assert rig.finished == {"file"}


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 256])
def test_what_cannot_be_a_file_name_is_told_before_anything_is_fetched(rig: Rig, name: str) -> None:
    rig.name = name
    with pytest.raises(LocalIOError):
        rig.get(DIGEST, GONE)
    assert rig.finished == set()


@pytest.mark.leaves_part_file
def test_a_name_that_is_taken_meanwhile_is_left_alone_and_the_bytes_are_kept(rig: Rig) -> None:
    class Taking(Holder):
        def __call__(self, line: object) -> None:
            (rig.folder / "file").write_bytes(b"mine")
            super().__call__(line)  # type: ignore[arg-type]

    with Fake(Taking(TRUTH)) as fake, pytest.raises(ExistsError):
        rig.get(DIGEST, fake.peer)
    assert (rig.folder / "file").read_bytes() == b"mine"
    assert rig.part(DIGEST).read_bytes() == TRUTH


def test_a_folder_that_cannot_be_is_told(rig: Rig) -> None:
    (rig.folder / "file").write_bytes(b"mine")
    with pytest.raises(LocalIOError, match="cannot use the folder"):
        Target(str(rig.folder / "file"), (), "x", IfExists.FAIL)


def test_folders_that_lack_are_made(rig: Rig) -> None:
    rig.folder = rig.folder / "new" / "deeper"
    with holder() as fake:
        rig.get(DIGEST, fake.peer)
    assert rig.finished == {"file"}


@pytest.mark.parametrize("new", ["new", "new/deeper/", "new/a//b", "new/../newer"])
def test_folders_that_were_made_in_vain_are_removed(rig: Rig, new: str) -> None:
    folder = rig.folder
    rig.folder = Path(f"{folder}/{new}")
    with pytest.raises(NotFoundError):
        rig.get(DIGEST)
    assert list(folder.iterdir()) == []


def test_a_folder_that_was_there_or_has_got_a_file_stays(rig: Rig) -> None:
    with pytest.raises(NotFoundError):
        rig.get(DIGEST)
    assert rig.folder.is_dir()
    with Target(f"{rig.folder}/new/deeper", (), "x", IfExists.FAIL):
        (rig.folder / "new" / "mine").touch()
    assert [path.name for path in (rig.folder / "new").iterdir()] == ["mine"]


def test_a_folder_that_another_get_is_about_to_use_is_not_removed(rig: Rig) -> None:
    new = f"{rig.folder}/new"
    with Target(new, (), "x", IfExists.FAIL):
        other = Target(new, (), "y", IfExists.FAIL)
    with other, PartFile(other.folder, DIGEST) as part:
        assert part.size == 0


def test_the_first_holders_name_is_taken_without_its_folders(rig: Rig) -> None:
    rig.name = None
    with holder("holiday/photo.jpg", "other") as fake:
        rig.get(DIGEST, fake.peer)
    assert rig.finished == {"photo.jpg"}
    assert rig.path == rig.folder / "photo.jpg"


# Streams.


def test_a_stream_gets_the_whole_file(rig: Rig, tmp_path: Path) -> None:
    with holder() as fake, rig.getter([fake.peer]) as getter, (tmp_path / "out").open("wb") as out:
        received = getter.to_stream(DIGEST, out.fileno())
    assert (tmp_path / "out").read_bytes() == TRUTH
    assert received.size == len(TRUTH)


@pytest.mark.parametrize(
    ("evil", "error"),
    [
        (liar(TRUTH), IntegrityError),
        (dying(TRUTH, 0), TransferFailedError),
        (frozen(TRUTH), TransferFailedError),
    ],
)
def test_without_a_chain_a_stream_gets_nothing_before_all_is_verified(
    rig: Rig, evil: Holder, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rig.stall = STALL
    with (
        Fake(evil) as fake,
        rig.getter([fake.peer]) as getter,
        (tmp_path / "out").open("wb") as out,
        pytest.raises(error),
    ):
        getter.to_stream(DIGEST, out.fileno())
    assert (tmp_path / "out").read_bytes() == b""
    assert {path.name for path in tmp_path.iterdir()} == {"downloads", "out"}


def test_a_stream_nobody_reads_leaves_nothing(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    reading, writing = os.pipe()
    os.close(reading)
    with holder() as fake, rig.getter([fake.peer]) as getter, pytest.raises(BrokenPipeError):
        getter.to_stream(DIGEST, writing)
    os.close(writing)
    assert {path.name for path in tmp_path.iterdir()} == {"downloads"}


# Waiting.


def test_who_waits_gets_the_file_once_somebody_has_it(rig: Rig) -> None:
    rig.wait = SOON
    rig.part(DIGEST).write_bytes(TRUTH[:500_000])
    nothing = Holder(b"another")
    with Fake(nothing) as fake:
        timer = threading.Timer(0.2, lambda: setattr(fake, "behaviour", Holder(TRUTH)))
        timer.start()

        def peers() -> list[Peer]:  # a new connection each time, to what it is by then
            return [Peer((fake.address, Address("127.0.0.1", fake.accepted + 1)))]

        with rig.getter([]) as getter, Target(str(rig.folder), (), "file", IfExists.FAIL) as target:
            waiting = type(getter)(peers, getter.terms, getter.wait)
            _, received = waiting.to_target(DIGEST, target)
        timer.join()
    assert (rig.folder / "file").read_bytes() == TRUTH
    assert received.resumed == 500_000
    assert received.received == 200_000


def test_waiting_is_over_in_time(rig: Rig) -> None:
    rig.wait = 0.3
    began = time.monotonic()
    with Fake(Holder(b"another")) as fake, pytest.raises(TimedOutError, match=r"waited 0\.3 s"):
        rig.get(DIGEST, fake.peer)
    assert 0.25 < time.monotonic() - began < QUICK


def test_who_does_not_wait_is_told_at_once(rig: Rig) -> None:
    with Fake(Holder(b"another")) as fake, pytest.raises(NotFoundError):
        rig.get(DIGEST, fake.peer)


def test_a_stop_ends_the_wait_and_is_not_taken_for_its_end(rig: Rig) -> None:
    rig.wait = SOON
    timer = threading.Timer(0.1, rig.stop.set)
    timer.start()
    with Fake(Holder(b"another")) as fake, pytest.raises(StoppedError):
        rig.get(DIGEST, fake.peer)
    timer.join()


def test_a_holder_that_refuses_after_all_ends_the_wait(rig: Rig) -> None:
    rig.wait = SOON
    began = time.monotonic()
    with Fake(stale(TRUTH)) as fake, pytest.raises(TransferFailedError, match="stale"):
        rig.get(DIGEST, fake.peer)
    assert time.monotonic() - began < QUICK


def test_a_new_folder_is_on_the_disk_before_its_file_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(target_module, "sync_folder", synced.append)
    monkeypatch.chdir(tmp_path)
    with Target("new", ("deep",), "file", IfExists.FAIL):
        assert sorted(synced) == [".", "new"]
    with Target(".", (), "file", IfExists.FAIL):
        assert len(synced) == 2


def test_a_folder_that_cannot_be_synced_is_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(target_module, "sync_folder", fail)
    with pytest.raises(LocalIOError):
        Target(str(tmp_path), ("new",), "file", IfExists.FAIL)
    assert list(tmp_path.iterdir()) == []
