"""Two peers share folders; a third process finds, lists and gets through etcd."""

import json
import subprocess
from pathlib import Path
from typing import Any

from processes.network import ALPHA, BETA, BOTH, LARGE, Network, sha1
from processes.peers import Done

LARGE_SHA1 = sha1(LARGE["large.bin"])
BOTH_SHA1 = sha1(BOTH["both.bin"])


def document(done: Done) -> dict[str, Any]:
    assert done.code == 0, done
    last: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return last


def sha1sum_agrees(folder: Path, sums: str) -> bool:
    checked = subprocess.run(
        ["sha1sum", "--check", "--strict", "--quiet"],
        input=sums,
        text=True,
        cwd=folder,
        check=False,
    )
    return checked.returncode == 0


def test_ls_lists_the_files_of_both_peers_and_merges_what_both_have(network: Network) -> None:
    listed = document(network.pirate("ls", "--json"))
    names = {name for file in listed["files"] for name in file["names"]}
    holders = {file["sha1"]: file["holders"] for file in listed["files"]}
    assert names == set(ALPHA) | set(BETA)
    assert holders[BOTH_SHA1] == 2
    assert holders[LARGE_SHA1] == 1


def test_peers_shows_both_with_their_totals(network: Network) -> None:
    peers = document(network.pirate("peers", "--json"))
    assert peers["registry"]["kind"] == "etcd"
    assert [(peer["name"], peer["files"]) for peer in peers["peers"]] == [
        ("alpha", len(ALPHA)),
        ("beta", len(BETA)),
    ]
    assert all(peer["reachable"] for peer in peers["peers"])


def test_get_by_sha1_brings_the_file_and_sha1sum_agrees(network: Network, place: Path) -> None:
    done = network.pirate("get", LARGE_SHA1, cwd=place)
    assert (done.code, done.out) == (0, "large.bin\n")
    assert sha1sum_agrees(place, f"{LARGE_SHA1}  large.bin\n")
    assert [path.name for path in place.iterdir()] == ["large.bin"]


def test_get_of_an_empty_file_makes_an_empty_file(network: Network, place: Path) -> None:
    done = network.pirate("get", sha1(b""), cwd=place)
    assert done.code == 0
    assert (place / "empty").read_bytes() == b""


def test_eight_digits_of_the_sha1_are_enough_for_get_and_info(
    network: Network, place: Path
) -> None:
    done = network.pirate("get", LARGE_SHA1[:8].upper(), "-o", place / "x", "-q")
    assert (done.code, done.err) == (0, "")
    assert (place / "x").read_bytes() == LARGE["large.bin"]
    assert f"sha1     {LARGE_SHA1}" in network.pirate("info", LARGE_SHA1[:8]).out


def test_info_names_every_holder(network: Network) -> None:
    info = document(network.pirate("info", BOTH_SHA1, "--json"))
    assert [holder["peer"] for holder in info["holders"]] == ["alpha", "beta"]
    assert info["size"] == len(BOTH["both.bin"])


def test_get_to_stdout_writes_the_bytes_and_nothing_else(network: Network) -> None:
    digest = sha1(ALPHA["docs/chapter 7/page.txt"])
    got = network.pirate("get", digest, "-o", "-", "-q")
    assert got.written == ALPHA["docs/chapter 7/page.txt"]


def test_a_list_of_ls_rebuilds_a_whole_folder(network: Network, place: Path) -> None:
    sums = network.pirate("ls", "--sums", "--on", "alpha").out
    done = network.pirate("get", "-i", "-", "-d", place / "copy", stdin=sums)
    assert done.code == 0
    assert sha1sum_agrees(place / "copy", sums)
    rebuilt = {
        str(path.relative_to(place / "copy")): path.read_bytes()
        for path in (place / "copy").rglob("*")
        if path.is_file()
    }
    assert rebuilt == ALPHA


def test_getting_the_list_again_fetches_nothing(network: Network, place: Path) -> None:
    sums = network.pirate("ls", "--sums", "--on", "alpha").out
    assert network.pirate("get", "-q", "-i", "-", cwd=place, stdin=sums).code == 0
    again = network.pirate("get", "-i", "-", "--json", cwd=place, stdin=sums)
    results = [json.loads(line) for line in again.out.splitlines()]
    assert {result["status"] for result in results[:-1]} == {"present"}
    assert results[-1]["done"] == len(ALPHA)


def test_the_digests_of_the_network_can_be_listed(network: Network) -> None:
    """The system before had no way to ask a peer what it has."""
    listed = network.pirate("ls", "--sums").out.splitlines()
    digests = {line.partition(" ")[0] for line in listed}
    assert digests == {sha1(content) for content in (ALPHA | BETA).values()}
