"""Files that come and go while a peer serves, as another host sees them."""

import json
import sys
from pathlib import Path

import pytest
from processes.network import fill
from processes.peers import Serving, pirate, until

if sys.platform != "linux":
    pytest.skip("inotify is Linux's", allow_module_level=True)


def listed(sharer: Serving, place: Path) -> set[str]:
    """What a host that remembers in ``place`` lists of this peer."""
    done = pirate("ls", "--peer", sharer.address, "--json", PIRATE_STATE=str(place / "other"))
    return {name for file in json.loads(done.out)["files"] for name in file["names"]}


def test_another_host_sees_what_comes_and_goes_without_a_scan(place: Path) -> None:
    shared = fill(place / "shared", {"old": b"old"})
    with Serving(shared, "--rescan", "1h") as sharer:
        assert listed(sharer, place) == {"old"}
        fill(shared, {"new": b"new", "folder/deep/new": b"newer"})
        assert until(lambda: listed(sharer, place) == {"old", "new", "folder/deep/new"})
        (shared / "old").unlink()
        (shared / "folder").rename(shared / "moved")
        assert until(lambda: listed(sharer, place) == {"new", "moved/deep/new"})


def test_without_watching_only_a_scan_finds_what_is_new(place: Path) -> None:
    shared = fill(place / "shared", {"old": b"old"})
    with (
        Serving(shared, "--rescan", "1h") as watching,
        Serving(shared, "--rescan", "1h", "--no-watch") as scanning,
    ):
        fill(shared, {"new": b"new"})
        assert until(lambda: listed(watching, place) == {"old", "new"})
        assert listed(scanning, place) == {"old"}
        scanning.rescan()
        assert until(lambda: listed(scanning, place) == {"old", "new"})
