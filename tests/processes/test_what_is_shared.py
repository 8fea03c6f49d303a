"""What is shared of a folder is what the user said, and nothing else goes out."""

import os
from pathlib import Path

from processes.network import fill, sha1
from processes.peers import Serving, pirate

FILES = {
    "a.iso": b"a",
    "b.txt": b"b",
    "images/c.txt": b"c",
    "images/cache/d.iso": b"d",
    ".hidden/e.iso": b"e",
    "a, b.iso": b"f",
}


def listed(server: Serving) -> set[str]:
    done = pirate("ls", "--peer", server.address, "--sums")
    return {line[42:] for line in done.out.splitlines()}


def test_only_what_is_included_and_not_excluded_is_listed_and_given(place: Path) -> None:
    folder = fill(place / "s", FILES)
    rules = ("--include", "*.iso,images/", "--exclude", "cache/", "--exclude", "a? b*")
    with Serving(folder, *rules) as server:
        assert listed(server) == {"a.iso", "images/c.txt"}
        refused = pirate("get", sha1(b"d"), "--peer", server.address, "-d", place)
    assert refused.code == 3


def test_hidden_files_are_shared_on_request_but_never_what_is_unfinished(place: Path) -> None:
    unfinished = {".0.pirate-part": b"g", ".0.pirate-journal": b"h", "state/id": b"i"}
    folder = fill(place / "s", FILES | unfinished)
    flags = ("--hidden", "--exclude", "images", "--state", folder / "state")
    with Serving(folder, *flags) as server:
        assert listed(server) == {"a.iso", "b.txt", ".hidden/e.iso", "a, b.iso"}


def test_one_file_of_many_names_is_listed_with_all_of_them(place: Path) -> None:
    folder = fill(place / "s", {"sub/a": b"a"})
    os.link(folder / "sub" / "a", folder / "b")
    (place / "link").symlink_to(folder)
    with Serving(place / "link") as server:
        assert listed(server) == {"sub/a", "b"}
