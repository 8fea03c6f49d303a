import errno
import mmap
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from honest import digest_of, some_bytes
from rot import rot

from pirate import verify as module
from pirate.disk import hashing
from pirate.disk.cursor import Cursor
from pirate.disk.hashcache import HashCache
from pirate.disk.hashing import NICENESS
from pirate.disk.opening import Opener
from pirate.disk.state import State
from pirate.disk.tree import Shares
from pirate.policy.rules import Rules
from pirate.scope import Stop
from pirate.verify import Finding, Segment, Verification
from pirate.verify import State as Is


@pytest.fixture(autouse=True)
def _old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that tests write count as old, so that the cache keeps them."""
    monkeypatch.setattr(hashing, "YOUNG_NS", -(10**12))


class Pass:
    """One verification of some folders, and what it has read and found."""

    def __init__(self, *folders: Path, state: Path, rules: Rules | None = None) -> None:
        self.heard = 0
        self.found: dict[str, Finding] = {}
        shares = Shares(map(str, folders), rules)
        self.cursor = Cursor(State(str(state)), shares.roots, "rules")
        self.cursor.load()
        cache = HashCache(State(str(state)))
        self.verification = Verification(shares, cache, self.cursor, self.hear)

    def hear(self, count: int) -> None:
        self.heard += count

    def run(self, most: int = 10**9) -> dict[str, Is]:
        """Verify, and break off once so many files are found."""
        with closing(self.verification.run(Stop())) as findings:
            for several in findings:
                for each in several:
                    self.found["/".join(each.place.parts)] = each
                if len(self.found) >= most:
                    break
        return {name: each.state for name, each in self.found.items()}


@pytest.fixture(name="state")
def _state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def fill(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_what_is_new_is_noted_and_the_next_time_it_is_sound(share: Path, state: Path) -> None:
    fill(share, a=b"1", large=some_bytes(300_000), empty=b"")
    first = Pass(share, state=state)
    assert first.verification.total() == (3, 300_001)
    assert first.run() == dict.fromkeys(("a", "large", "empty"), Is.NOTED)
    assert first.heard == 300_001
    again = Pass(share, state=state)
    assert again.run() == dict.fromkeys(("a", "large", "empty"), Is.SOUND)
    assert again.heard == 300_001


def test_rot_is_told_with_the_first_segment_that_is_wrong_each_time(
    share: Path, state: Path
) -> None:
    fill(share, a=some_bytes(300_000), b=some_bytes(300_000, 1))
    before = rot(share / "a", 200_000, state)
    for _ in range(2):
        each = Pass(share, state=state)
        assert each.run()["a"] is Is.ROTTEN
        finding = each.found["a"]
        assert (finding.was, finding.found) == (before.digest, digest_of(some_bytes(300_000)))
        assert finding.segment == Segment(3, 5, 196_608, 65_536)
    assert each.run()["b"] is Is.SOUND


@pytest.mark.parametrize(("at", "segment"), [(0, 0), (65_535, 0), (65_536, 1), (130_000, 1)])
def test_the_first_wrong_segment_is_the_one_with_the_wrong_byte(
    share: Path, state: Path, at: int, segment: int
) -> None:
    fill(share, a=some_bytes(130_001))
    rot(share / "a", at, state)
    each = Pass(share, state=state)
    each.run()
    told = each.found["a"].segment
    assert told
    assert told.index == segment
    assert told.start <= at < told.start + told.length


def test_a_small_file_rots_as_a_whole(share: Path, state: Path) -> None:
    fill(share, a=b"12")
    rot(share / "a", 1, state)
    each = Pass(share, state=state)
    assert each.run() == {"a": Is.ROTTEN}
    assert each.found["a"].segment is None


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")
def test_bytes_that_change_while_the_times_do_not_are_rot(state: Path) -> None:
    """On tmpfs nobody notes when a map is written to."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        share = Path(name)
        fill(share, a=some_bytes(100_000))
        assert Pass(share, state=state).run() == {"a": Is.NOTED}
        before = (share / "a").stat()
        with (share / "a").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[70_000] ^= 1
        if (share / "a").stat() != before:
            pytest.skip("this one does")
        assert Pass(share, state=state).run() == {"a": Is.ROTTEN}


def test_a_file_that_was_written_since_is_noted_and_no_rot(share: Path, state: Path) -> None:
    fill(share, a=b"1")
    Pass(share, state=state).run()
    time.sleep(0.02)  # beyond the tick of the kernel's clock
    fill(share, a=b"2")
    assert Pass(share, state=state).run() == {"a": Is.NOTED}
    assert Pass(share, state=state).run() == {"a": Is.SOUND}


def test_a_file_that_changes_while_it_is_read_is_no_rot(share: Path, state: Path) -> None:
    fill(share, a=some_bytes(600_000))
    rot(share / "a", 1, state)
    each = Pass(share, state=state)

    def change(_: int) -> None:
        with (share / "a").open("ab") as file:
            file.write(b"more")

    each.verification._heard = change
    assert each.run() == {"a": Is.CHANGED}


def test_a_file_that_is_written_before_it_is_read_is_no_rot(
    share: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(share, a=b"1")
    Pass(share, state=state).run()
    time.sleep(0.02)  # beyond the tick of the kernel's clock
    real = Opener.open

    def opened(self: Opener, root: str, parts: tuple[str, ...]) -> int:
        fill(share, a=b"2")
        return real(self, root, parts)

    monkeypatch.setattr(Opener, "open", opened)
    assert Pass(share, state=state).run() == {"a": Is.NOTED}


@pytest.mark.parametrize("kind", ["gone", "a link", "a folder", "a pipe"])
def test_a_file_that_is_replaced_before_it_is_read_is_no_rot(
    share: Path, state: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(share, a=b"1", b=b"2")
    real = Opener.open

    def opened(self: Opener, root: str, parts: tuple[str, ...]) -> int:
        if parts == ("a",):
            (share / "a").unlink()
            if kind == "a link":
                (share / "a").symlink_to("b")
            elif kind == "a folder":
                (share / "a").mkdir()
            elif kind == "a pipe":
                os.mkfifo(share / "a")
        return real(self, root, parts)

    monkeypatch.setattr(Opener, "open", opened)
    assert Pass(share, state=state).run() == {"b": Is.NOTED, "a": Is.CHANGED}


def test_what_cannot_be_read_costs_only_itself(
    share: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(share, a=b"1", b=b"2")
    real = Opener.open

    def opened(self: Opener, root: str, parts: tuple[str, ...]) -> int:
        if parts == ("a",):
            raise OSError(errno.EIO, "the disk is broken")
        return real(self, root, parts)

    monkeypatch.setattr(Opener, "open", opened)
    each = Pass(share, state=state)
    assert each.run() == {"a": Is.UNREADABLE, "b": Is.NOTED}
    assert str(each.found["a"].error).endswith("the disk is broken")


def test_a_folder_that_is_gone_cannot_be_read(share: Path, state: Path) -> None:
    each = Pass(share / "gone", state=state)
    assert each.run() == {"": Is.UNREADABLE}
    assert each.found[""].path == str(share / "gone")


def test_a_file_of_several_names_is_read_once(share: Path, state: Path) -> None:
    (share / "sub").mkdir()
    fill(share / "sub", a=b"12345")
    os.link(share / "sub" / "a", share / "b")
    each = Pass(share, share / "sub", state=state)
    assert each.verification.total() == (1, 5)
    assert each.run() == {"b": Is.NOTED}
    assert each.heard == 5


def test_only_what_is_shared_is_read(share: Path, state: Path) -> None:
    fill(share, a=b"1", b=b"2")
    assert set(Pass(share, state=state, rules=Rules(exclude=["b"])).run()) == {"a"}


@pytest.fixture(name="_one_by_one")
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_FILES", 1)


@pytest.mark.usefixtures("_one_by_one")
def test_a_pass_goes_on_behind_the_last_one_and_looks_again_at_what_was_bad(
    share: Path, state: Path
) -> None:
    fill(share, **{name: name.encode() for name in "abcdef"})
    rot(share / "b", 0, state)
    first = Pass(share, state=state)
    assert list(first.run(most=4)) == ["a", "b", "c", "d"]
    fill(share, aa=b"would be in front")
    second = Pass(share, state=state)
    assert (second.cursor.files, second.cursor.size) == (3, 3)  # d was found, but not yet noted
    assert second.verification.total() == (4, 4)
    assert list(second.run(most=2)) == ["b", "d"]
    third = Pass(share, state=state)
    assert third.run() == {"b": Is.ROTTEN} | dict.fromkeys("def", Is.NOTED)


@pytest.mark.usefixtures("_one_by_one")
def test_what_was_bad_and_is_sound_again_is_bad_no_more(share: Path, state: Path) -> None:
    fill(share, a=b"1", b=b"2", c=b"3")
    rot(share / "a", 0, state)
    Pass(share, state=state).run(most=2)
    time.sleep(0.02)
    fill(share, a=b"1")
    again = Pass(share, state=state)
    assert again.run(most=2) == {"a": Is.NOTED, "b": Is.NOTED}
    assert set(Pass(share, state=state).run()) == {"b", "c"}


def test_others_go_first(share: Path, state: Path) -> None:
    fill(share, a=b"1")
    each = Pass(share, state=state)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[int] = []
    each.verification._heard = lambda _: seen.append(os.getpriority(os.PRIO_PROCESS, 0))
    each.run()
    assert seen == [max(before, NICENESS)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
