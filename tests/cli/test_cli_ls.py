"""``pirate ls`` of more files than are sorted."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli.calling import Pirate
from cli.test_cli_json import valid
from honest import Honest, digest_of, hello

from pirate.catalogs import Listing
from pirate.cli.commands import ls
from pirate.cli.merged import merge
from pirate.model import Address, Entry, Peer
from pirate.wire.catalog import Catalog

FILES = 9


@pytest.fixture(name="two")
def _two(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Two peers, who share some files, and the flags that name them."""
    with ExitStack() as stack:
        flags: list[str] = []
        for name, numbers in (("one", range(6)), ("two", range(3, FILES))):
            folder = tmp_path / name
            folder.mkdir()
            peer = stack.enter_context(Honest(folder, name=name))
            for number in numbers:
                (folder / f"{number}-{name}").write_bytes(str(number).encode())
            peer.scan()
            flags += ("--peer", str(peer.address))
        yield tuple(flags)


@pytest.fixture(name="few")
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ls, "MOST_SORTED", 3)


DIGESTS = sorted(digest_of(str(number).encode()).hex() for number in range(FILES))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("long", ["", "--long"])
def test_a_long_list_is_by_digest_and_says_so(
    pirate: Pirate, two: tuple[str, ...], long: str
) -> None:
    done = pirate("ls", *two, *filter(None, [long]))
    assert done.code == 0
    assert done.err == "pirate: more than 3 files, so they are by SHA-1 and not by name\n"
    head, *rows = done.out.splitlines()
    assert head.split() == ["SHA-1", "BYTES" if long else "SIZE", "HOLDERS", "NAME"]
    assert [row[:40] for row in rows if row[0] != " "] == DIGESTS
    assert len({row.index("-one") for row in rows if "-one" in row and row[0] != " "}) == 1
    assert ("(+1)" in done.out) is not bool(long)


def test_a_long_list_is_the_same_in_every_form_but_for_its_order(
    pirate: Pirate, two: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_json, sorted_sums = pirate("ls", *two, "--json"), pirate("ls", *two, "--sums")
    monkeypatch.setattr(ls, "MOST_SORTED", 3)
    long_json, long_sums = pirate("ls", *two, "--json"), pirate("ls", *two, "--sums")
    assert valid(long_json, "ls")
    assert valid(sorted_json, "ls")
    by_name, by_digest = sorted_json.last.pop("files"), long_json.last["files"]
    assert [file["names"][0] for file in by_name] == sorted(file["names"][0] for file in by_name)
    assert [file["sha1"] for file in by_digest] == DIGESTS
    assert sorted(by_name, key=lambda file: file["sha1"]) == by_digest
    assert sorted(sorted_sums.out.splitlines()) == sorted(long_sums.out.splitlines())
    assert len(long_sums.out.splitlines()) == 12
    assert long_json.out == json.dumps(long_json.last) + "\n"


@pytest.mark.usefixtures("few")
def test_few_that_match_are_by_name_however_many_there_are(
    pirate: Pirate, two: tuple[str, ...]
) -> None:
    done = pirate("ls", *two, "4-*")
    assert done.err == ""
    assert len(done.out.splitlines()) == 2


def test_what_several_have_is_one_with_all_names_and_the_greatest_size() -> None:
    one, two = (Peer((Address("h", number),), hello(str(number)).peer) for number in (1, 2))
    both, lone = sorted((digest_of(b"both"), digest_of(b"lone")))

    def listing(peer: Peer, *entries: Entry) -> Listing:
        return Listing(peer, Catalog(1, entries), 0.0)

    listings = [
        listing(one, Entry(both, 7, ("b", "c"))),
        listing(two, Entry(both, 9, ("a", "b")), Entry(lone, 1, ("z", "y"))),
        listing(two, Entry(both, 9, ("a", "b"))),
    ]
    assert [(*each[:3], set(each.holders)) for each in merge(listings)] == [
        (both, 9, ["a", "b", "c"], {one, two}),
        (lone, 1, ["y", "z"], {two}),
    ]
    assert list(merge([])) == []
