"""Real folders, watched; every test waits until the one thing it is about has been told."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from honest import SOON

from pirate.disk import inotify, watch
from pirate.disk.inotify import Folders
from pirate.disk.place import Place
from pirate.disk.tree import Shares
from pirate.disk.watch import Watch
from pirate.policy import resting
from pirate.policy.rules import Rules
from pirate.scope import Scope, Stop

if sys.platform != "linux":
    pytest.skip("inotify is Linux's", allow_module_level=True)


class Watching:
    """Folders that are watched, and what is told of them."""

    def __init__(self, *roots: Path, rules: Rules | None = None) -> None:
        self.told: list[Place] = []
        self.complete: list[bool] = []
        self._roots = roots
        self.watch = Watch(Shares(map(str, roots), rules), self.told.extend, self.complete.append)

    def tells(self, *names: str) -> bool:
        """Wait until these have been told, and forget it; whether they are."""
        return self._told(names) is not None

    def tells_only(self, *names: str) -> bool:
        """Likewise, and whether nothing else has been told meanwhile."""
        return self._told(names) == {self._place(name) for name in names}

    def _told(self, names: tuple[str, ...]) -> set[Place] | None:
        wanted = {self._place(name) for name in names}
        return self._forget() if self.until(lambda: wanted <= set(self.told)) else None

    def _place(self, name: str) -> Place:
        return Place(str(self._roots[0]), tuple(filter(None, name.split("/"))))

    def until(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + SOON
        while not (holds := condition()) and time.monotonic() < end:
            Stop().wait(0.01)
        return holds

    def _forget(self) -> set[Place]:
        told, self.told[:] = set(self.told), []
        return told


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less than the real one."""
    monkeypatch.setattr(resting, "REST_SECONDS", 0.1)
    monkeypatch.setattr(watch, "GATHER_SECONDS", 0.02)
    monkeypatch.setattr(watch, "ROOT_SECONDS", 0.2)


@pytest.fixture(name="running")
def _running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(name="watching")
def _watching(share: Path, running: ExitStack) -> Watching:
    return started(running, share)


def started(running: ExitStack, *roots: Path, rules: Rules | None = None) -> Watching:
    watching = Watching(*roots, rules=rules)
    scope = running.enter_context(Scope())
    scope.spawn("watch", lambda: watching.watch.run(scope.stop))
    there = [root for root in roots if root.is_dir()]
    assert watching.until(lambda: len(watching.told) == len(there))  # each as a whole
    watching.told.clear()
    return watching


def test_a_new_a_changed_and_a_deleted_file_are_told(share: Path, watching: Watching) -> None:
    (share / "a").write_bytes(b"1")
    assert watching.tells("a")
    (share / "a").write_bytes(b"2")
    assert watching.tells("a")
    os.utime(share / "a", (1, 1))
    assert watching.tells("a")
    (share / "a").unlink()
    assert watching.tells("a")


def test_a_renamed_file_is_told_by_both_names(share: Path, watching: Watching) -> None:
    (share / "a").write_bytes(b"1")
    assert watching.tells("a")
    (share / "a").rename(share / "b")
    assert watching.tells("a", "b")


def test_a_file_that_is_replaced_at_once_is_told_once(share: Path, watching: Watching) -> None:
    (share / "a").write_bytes(b"1")
    assert watching.tells("a")
    (share / ".new").write_bytes(b"2")
    (share / ".new").replace(share / "a")
    assert watching.tells("a")


def test_hidden_and_unfinished_files_are_nobodys_business(share: Path, watching: Watching) -> None:
    (share / ".hidden").write_bytes(b"1")
    (share / "file.pirate-part").write_bytes(b"1")
    (share / "file.pirate-part").unlink()
    (share / ".folder").mkdir()
    (share / ".folder" / "file").write_bytes(b"1")
    (share / "last").write_bytes(b"1")
    assert watching.tells_only("last")


def test_what_the_rules_leave_out_is_nobodys_business(share: Path, running: ExitStack) -> None:
    (share / "out").mkdir()
    watching = started(running, share, rules=Rules(exclude=["out", "*.tmp"], hidden=True))
    (share / "out" / "file").write_bytes(b"1")
    (share / "file.tmp").write_bytes(b"1")
    (share / ".hidden").write_bytes(b"1")
    assert watching.tells_only(".hidden")


def test_a_file_is_not_told_while_it_is_written(share: Path) -> None:
    now = 0.0
    told: list[Place] = []
    watched = Watch(Shares([str(share)]), told.extend, clock=lambda: now)
    watched._compare_roots()
    with (share / "slow").open("wb", buffering=0) as slow:
        for moment in (1.0, 1.09, 1.18, 1.27, 1.36):
            now = moment
            slow.write(b"1" * 1000)
            watched._gather()
        assert told == [Place(str(share), ())]
    now = 1.45
    watched._gather()
    now = 1.54
    watched._gather()
    assert len(told) == 1
    now = 1.56
    watched._gather()
    assert told[1:] == [Place(str(share), ("slow",))]
    watched._leave(str(share))


def test_files_in_new_folders_are_told_however_soon_they_come(
    share: Path, watching: Watching
) -> None:
    deep = share / "1" / "2" / "3"
    deep.mkdir(parents=True)
    (deep / "early").write_bytes(b"1")
    assert watching.tells("1")
    (deep / "late").write_bytes(b"1")
    assert watching.tells("1/2/3/late")


def test_a_folder_that_moves_in_is_told_and_watched(
    share: Path, tmp_path: Path, watching: Watching
) -> None:
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (outside / "below" / "file").write_bytes(b"1")
    outside.rename(share / "in")
    assert watching.tells("in")
    (share / "in" / "below" / "file").write_bytes(b"2")
    assert watching.tells("in/below/file")


def test_a_folder_that_moves_within_is_known_by_its_new_name(
    share: Path, running: ExitStack
) -> None:
    (share / "old" / "below").mkdir(parents=True)
    watching = started(running, share)
    (share / "old").rename(share / "new")
    assert watching.tells("old", "new")
    (share / "new" / "below" / "file").write_bytes(b"1")
    assert watching.tells("new/below/file")
    (share / "old").mkdir()
    (share / "new").rename(share / "old" / "deeper")
    assert watching.tells("new", "old")
    (share / "old" / "deeper" / "below" / "file").write_bytes(b"2")
    assert watching.tells("old/deeper/below/file")


def test_a_folder_that_moves_out_is_told_and_not_watched_any_more(
    share: Path, tmp_path: Path, running: ExitStack
) -> None:
    (share / "a" / "below").mkdir(parents=True)
    watching = started(running, share)
    [folders] = filter(None, watching.watch._folders.values())
    assert len(folders) == 3
    (share / "a").rename(tmp_path / "outside")
    assert watching.tells("a")
    assert len(folders) == 1
    (tmp_path / "outside" / "below" / "file").write_bytes(b"1")
    (share / "last").write_bytes(b"1")
    assert watching.tells_only("last")


def test_a_deleted_folder_is_told_and_costs_nothing_any_more(
    share: Path, running: ExitStack
) -> None:
    (share / "a").mkdir()
    watching = started(running, share)
    (share / "a").rmdir()
    assert watching.tells("a")
    [folders] = filter(None, watching.watch._folders.values())
    assert len(folders) == 1


def test_nothing_behind_a_symlink_is_watched(
    share: Path, tmp_path: Path, running: ExitStack
) -> None:
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (share / "early").symlink_to(outside)
    watching = started(running, share)
    (share / "late").symlink_to(outside)
    assert watching.tells("late")
    (outside / "below" / "file").write_bytes(b"1")
    (share / "last").write_bytes(b"1")
    assert watching.tells_only("last")
    [folders] = filter(None, watching.watch._folders.values())
    assert len(folders) == 1


def test_our_own_reading_is_no_change(share: Path, running: ExitStack) -> None:
    (share / "a").write_bytes(b"1")
    watching = started(running, share)
    for _ in range(10):
        (share / "a").read_bytes()
    list(share.iterdir())
    (share / "last").write_bytes(b"1")
    assert watching.tells_only("last")


def test_a_root_that_vanishes_and_comes_back_is_watched_again(
    share: Path, watching: Watching
) -> None:
    share.rename(share.with_name("away"))
    assert watching.tells("")
    share.mkdir()
    assert watching.tells("")
    (share / "a").write_bytes(b"1")
    assert watching.tells("a")
    (share.with_name("away") / "b").write_bytes(b"1")
    (share / "c").write_bytes(b"1")
    assert watching.tells("c")


def test_a_root_that_is_replaced_is_told(share: Path, tmp_path: Path, running: ExitStack) -> None:
    link = tmp_path / "link"
    link.symlink_to(share)
    watching = started(running, link)
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "next").symlink_to(other)
    (tmp_path / "next").replace(link)
    assert watching.tells("")
    (other / "a").write_bytes(b"1")
    assert watching.tells("a")


def test_a_folder_that_is_shared_twice_is_told_twice(share: Path, running: ExitStack) -> None:
    (share / "below").mkdir()
    watching = started(running, share, share / "below")
    (share / "below" / "file").write_bytes(b"1")
    both = {
        Place(str(share), ("below", "file")),
        Place(str(share / "below"), ("file",)),
    }
    assert watching.until(lambda: both <= set(watching.told))


def test_a_storm_of_files_is_told_in_few_batches(share: Path) -> None:
    now = 0.0
    batches: list[int] = []
    watched = Watch(Shares([str(share)]), lambda told: batches.append(len(told)), clock=lambda: now)
    watched._compare_roots()
    for step in range(1, 1001):  # a file every millisecond, and a look at what came every 10
        now = step / 1000
        (share / str(step)).write_bytes(b"1")
        if step % 10 == 0:
            watched._gather()
    now = 10.0
    watched._gather()
    watched._leave(str(share))
    assert sum(batches) == 1001
    assert len(batches) < 15


# What goes wrong is said once, and the timer goes on.


def test_all_is_looked_at_if_more_happens_than_the_kernel_keeps(
    share: Path,
    watching: Watching,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overflow(folders: Folders) -> Iterator[inotify.Change]:
        if list(changes(folders)):
            raise inotify.MissedError
        yield from ()

    changes = Folders.changes
    for name in ("one", "two"):
        monkeypatch.setattr(Folders, "changes", overflow)
        (share / name / "deep").mkdir(parents=True)
        assert watching.tells("")
        monkeypatch.setattr(Folders, "changes", changes)
        (share / name / "deep" / "file").write_bytes(b"1")
        assert watching.tells(f"{name}/deep/file")
    assert caplog.text.count("fs.inotify.max_queued_events") == 1


def test_the_kernel_tells_when_its_queue_overflows(share: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 100_000:
        pytest.skip(f"a queue of {most} events takes long to fill")
    folders = Folders(str(share), Rules(), {})
    try:
        for number in range(most // 3 + 10):  # each is created, changed and closed
            (share / str(number)).write_bytes(b"1")
        with pytest.raises(inotify.MissedError):
            list(folders.changes())
    finally:
        folders.close()


LIMITED = 'echo 10 > /proc/sys/user/max_inotify_watches && exec "$0" -c "$1" "$2"'
FEW = """
import logging, sys
logging.basicConfig(format="%(message)s")
from pirate.disk.tree import Shares
from pirate.disk.watch import Watch
watch = Watch(Shares(sys.argv[1:]), print, lambda complete: print("complete", complete))
for _ in range(3):
    watch._compare_at = 0.0
    watch._compare_roots()
    watch._gather()
print("watched", len(watch._folders[sys.argv[1]] or ()))
"""


def test_too_few_watches_are_said_once_and_those_that_there_are_are_used(share: Path) -> None:
    for number in range(20):
        (share / str(number)).mkdir()
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", LIMITED, sys.executable, FEW, share],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if "unshare" in done.stderr or "max_inotify_watches" in done.stderr.replace("fs.", ""):
        pytest.skip("needs user namespaces")
    assert done.stdout.splitlines()[-1] == "watched 10", done.stderr
    assert "complete True" not in done.stdout
    assert done.stderr.count("fs.inotify.max_user_watches") == 1


LOOP = """
set -e
mkdir -p "$2/a/b" "$2/loop"
mount --rbind "$2" "$2/loop"
exec "$0" -c "$1" "$2"
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "x", "/mnt"], check=False).returncode
    != 0,
    reason="nothing can be mounted here",
)
def test_a_mount_that_shows_the_share_again_is_not_gone_into(share: Path) -> None:
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", LOOP, sys.executable, FEW, share],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.splitlines() == ["complete True", "watched 3"], done.stderr


def test_no_inotify_at_all_is_said_once(
    share: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(**_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(inotify, "INotify", none)
    watching = Watching(share)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        watching.watch._compare_at = 0.0
        watching.watch._compare_roots()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert caplog.text.count("fs.inotify.max_user_instances") == 1
    assert watching.complete == []


def test_a_file_system_that_others_change_is_said_once(
    share: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "remote_devices", lambda: {share.stat().st_dev: "nfs4"})
    watching = Watching(share)
    for _ in range(3):
        watching.watch._compare_at = 0.0
        watching.watch._compare_roots()
    watching.watch._leave(str(share))
    assert caplog.text.count("nfs4") == 1
    assert watching.complete == []


def test_many_folders_are_all_watched(share: Path, running: ExitStack) -> None:
    for number in range(1000):
        (share / str(number // 100) / str(number)).mkdir(parents=True)
    watching = started(running, share)
    for number in (0, 555, 999):
        (share / str(number // 100) / str(number) / "file").write_bytes(b"1")
    assert watching.tells("0/0/file", "5/555/file", "9/999/file")
    assert watching.complete == [True]


def test_watching_ends_at_once_when_it_is_stopped(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as running:
        started(running, share)
        monkeypatch.setattr(watch, "ROOT_SECONDS", SOON)
        Stop().wait(0.3)  # it waits for SOON now, if nothing happens
        began = time.monotonic()
    assert time.monotonic() - began < SOON / 2
