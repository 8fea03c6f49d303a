import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pirate.disk.opening import open_file
from pirate.disk.place import Identity, Parts
from pirate.disk.tree import DEEPEST, Shares, walk
from pirate.policy.rules import Rules

Told = dict[Parts, OSError]


def walked(root: Path, told: Told | None = None, rules: Rules | None = None) -> set[str]:
    def trouble(parts: Parts, error: OSError) -> None:
        assert told is not None, error
        told[parts] = error

    return {"/".join(found.parts) for found in walk(str(root), trouble, rules)}


def test_every_regular_file_is_found_with_its_identity(share: Path) -> None:
    (share / "a").write_bytes(b"1")
    (share / "folder" / "deeper").mkdir(parents=True)
    (share / "folder" / "b").write_bytes(b"22")
    (share / "folder" / "deeper" / "c").touch()
    found = {each.parts: each.identity for each in walk(str(share), lambda *_: None)}
    assert set(found) == {("a",), ("folder", "b"), ("folder", "deeper", "c")}
    for parts, identity in found.items():
        status = share.joinpath(*parts).stat()
        assert identity == Identity.of(status)
        assert (identity.inode, identity.size) == (status.st_ino, status.st_size)


@pytest.mark.leaves_part_file
def test_hidden_and_unfinished_files_are_not_shared(share: Path) -> None:
    for name in (".hidden", "unfinished.pirate-part", ".0123.pirate-part", ".0.pirate-journal"):
        (share / name).touch()
    (share / ".git").mkdir()
    (share / ".git" / "config").touch()
    (share / "open").touch()
    assert walked(share) == {"open"}
    assert walked(share, rules=Rules(hidden=True)) == {".hidden", ".git/config", "open"}


def test_a_walk_keeps_to_the_rules_and_does_not_look_into_excluded_folders(share: Path) -> None:
    for name in ("a.iso", "a.txt", "sub/b.iso", "out/c.iso", "sub/out/d.iso", "sub/deep/e.iso"):
        (share / name).parent.mkdir(parents=True, exist_ok=True)
        (share / name).touch()
    opened: list[str] = []

    class Noting(Rules):
        def enters(self, path: str, name: str) -> bool:
            opened.append(path)
            return super().enters(path, name)

    found = walked(share, rules=Noting(["*.iso"], ["out/", "/sub/deep"]))
    assert found == {"a.iso", "sub/b.iso"}
    assert opened == ["out", "sub", "sub/deep", "sub/out"]


def test_a_walk_goes_in_the_order_of_the_names(share: Path) -> None:
    for name in ("b/2", "b/1", "a", "c", "b.x", "B/z"):
        (share / name).parent.mkdir(exist_ok=True)
        (share / name).touch()
    found = [each.parts for each in walk(str(share), lambda *_: None)]
    assert found == sorted(found)
    assert len(found) == 6


def test_a_folder_in_a_hidden_one_is_shared_if_the_user_names_it(share: Path) -> None:
    (share / ".hidden" / "folder").mkdir(parents=True)
    (share / ".hidden" / "folder" / "file").touch()
    assert walked(share / ".hidden" / "folder") == {"file"}
    assert walked(share / ".hidden") == {"folder/file"}
    assert walked(share) == set()


def test_one_folder_under_several_names_is_shared_once(share: Path, tmp_path: Path) -> None:
    (share / "sub").mkdir()
    (tmp_path / "link").symlink_to(share)
    names = [str(tmp_path / "link"), str(share), f"{share}/", f"{share}/sub/..", f"{share}/sub"]
    assert Shares(names).roots == (names[0], names[4])
    assert Shares([str(tmp_path / "gone")] * 2).roots == (str(tmp_path / "gone"),)


# A share, and what is mounted where before it is walked.
MOUNTED = """
set -e
cd "$1"
mkdir -p data/a/b data/loop data/disk other
touch data/a/b/file other/file
mount --rbind data data/loop
mount -t tmpfs tmpfs data/disk
touch data/disk/file
mkdir data/view
mount --bind other data/view
exec "$2" -c '
from pirate.disk.tree import walk
told = []
found = [each.parts for each in walk("data", lambda parts, error: told.append((parts, error)))]
print("".join("/".join(parts) + "\\n" for parts in found), told)
'
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "x", "/mnt"], check=False).returncode
    != 0,
    reason="nothing can be mounted here",
)
def test_mounts_below_a_share_are_walked_and_one_that_shows_the_share_again_is_not(
    tmp_path: Path,
) -> None:
    words = ["unshare", "-rm", "sh", "-c", MOUNTED, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    assert done.stderr == ""
    found, _, told = done.stdout.rpartition("\n ")
    assert found.split() == ["a/b/file", "disk/file", "view/file"]
    assert told == "[(('loop',), OSError(40, 'this folder is inside itself'))]\n"


def test_links_and_special_files_are_not_shared(share: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (share / "file").touch()
    (share / "to file").symlink_to("file")
    (share / "to secret").symlink_to(outside / "secret")
    (share / "to folder").symlink_to(outside)
    (share / "to parent").symlink_to("..")
    (share / "to itself").symlink_to("to itself")
    (share / "dangling").symlink_to("nowhere")
    os.mkfifo(share / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(share / "socket"))
        assert walked(share) == {"file"}


def test_too_deep_folders_are_left_out(share: Path) -> None:
    folder = share
    for number in range(DEEPEST + 5):
        (folder / f"file {number}").touch()
        folder /= "d"
        folder.mkdir()
    assert len(walked(share)) == DEEPEST


def test_a_name_that_is_no_utf_8_is_found_and_opened(share: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    (share / name).write_bytes(b"x")
    assert walked(share) == {name}
    os.close(open_file(str(share), (name,)))


def test_a_root_that_is_gone_is_told(share: Path) -> None:
    told: Told = {}
    assert walked(share / "gone", told) == set()
    assert told[()].errno == errno.ENOENT


def test_a_root_may_be_a_symlink_since_the_user_named_it(share: Path, tmp_path: Path) -> None:
    (share / "file").touch()
    (tmp_path / "link").symlink_to(share)
    assert walked(tmp_path / "link") == {"file"}


def test_a_folder_that_vanishes_during_the_walk_costs_only_itself(share: Path) -> None:
    for name in ("a", "b", "c"):
        (share / name).mkdir()
        (share / name / "file").touch()
    told: Told = {}
    found = set()
    for each in walk(str(share), told.__setitem__):
        found.add(each.parts)
        for name in {"a", "b", "c"} - {each.parts[0]}:  # once the first is found
            if (share / name).exists() and len(found) == 1:
                (share / name / "file").unlink()
                (share / name).rmdir()
    assert len(found) == 1
    assert {error.errno for error in told.values()} == {errno.ENOENT}
    assert len(told) == 2


def test_a_folder_that_became_a_symlink_during_the_walk_is_not_followed(
    share: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    for name in ("a", "b"):
        (share / name).mkdir()
        (share / name / "file").touch()
    told: Told = {}
    walking = walk(str(share), told.__setitem__)
    first = next(walking).parts[0]
    other = share / ("b" if first == "a" else "a")
    (other / "file").unlink()
    other.rmdir()
    other.symlink_to(outside)
    assert not list(walking)
    assert {error.errno for error in told.values()} <= {errno.ELOOP, errno.ENOTDIR}
    assert len(told) == 1


def test_a_walk_that_is_broken_off_keeps_nothing_open(share: Path) -> None:
    (share / "a" / "b").mkdir(parents=True)
    (share / "a" / "b" / "file").touch()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    walking = walk(str(share), lambda *_: None)
    next(walking)
    del walking
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


UNPRIVILEGED = """
import os, sys
from pirate.disk.opening import open_file
from pirate.disk.tree import walk
os.setgroups([]); os.setgid(65534); os.setuid(65534)
told = []
found = sorted("/".join(each.parts) for each in walk(sys.argv[1], lambda p, e: told.append(p)))
for name in found:
    try:
        os.close(open_file(sys.argv[1], tuple(name.split("/"))))
    except PermissionError:
        told.append(name)
print(found, told)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_may_not_be_read_costs_only_itself(share: Path) -> None:
    for folder in share.parents:
        if folder.owner() == "root" and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    (share / "open").touch()
    (share / "closed").touch(0o000)
    (share / "locked").mkdir(0o000)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, share], check=True, capture_output=True, text=True
    )
    assert done.stdout == "['closed', 'open'] [('locked',), 'closed']\n"


def test_a_label_tells_names_and_folders_apart_but_not_where_the_folder_is(share: Path) -> None:
    (share / "folder").mkdir()
    for name in ("a", "folder/a", "folder/b"):
        (share / name).write_bytes(b"1")

    def labels() -> dict[str, int]:
        return {"/".join(each.parts): each.label for each in walk(str(share), lambda *_: None)}

    before = labels()
    assert len(set(before.values())) == 3
    (share / "folder").rename(share / "moved")
    assert labels() == {name.replace("folder", "moved"): label for name, label in before.items()}


def test_a_file_with_several_names_has_no_label(share: Path) -> None:
    (share / "a").write_bytes(b"1")
    (share / "b").hardlink_to(share / "a")
    assert [each.label for each in walk(str(share), lambda *_: None)] == [0, 0]
