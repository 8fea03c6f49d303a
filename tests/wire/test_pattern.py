import fnmatch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pirate.model import Digest, Entry
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run
from pirate.wire.pattern import Pattern, narrowed

# Few characters, so that what is drawn matches now and then.
LETTERS = "ab/[]!*?é"

names = st.lists(st.text(LETTERS, max_size=6), min_size=1, max_size=3, unique=True)


def catalog(*files: tuple[int, str]) -> Catalog:
    """Of digests that begin with a number, and their names, with bars between them."""
    entries = (Entry(Digest(bytes([n] * 20)), n, tuple(text.split("|"))) for n, text in files)
    return Catalog(1, sorted(entries, key=lambda entry: entry.digest))


def firsts(runs: tuple[Run, ...]) -> list[int]:
    return [digest[0] for run in runs for digest in run.digests()]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("", "anything", True),
        ("bian", "isos/debian.iso", True),
        ("isos/deb", "isos/debian.iso", True),
        ("Debian", "isos/debian.iso", False),
        ("*", "a/b", True),
        ("*.iso", "isos/debian.iso", True),
        ("debian.*", "isos/debian.iso", True),
        ("isos/*", "isos/debian.iso", True),
        ("isos", "debian.iso", False),
        ("iso?", "isos/debian.iso", False),
        ("d?bian.iso", "isos/debian.iso", True),
        ("[!d]*", "debian.iso", False),
        ("[!d]*", "isos/debian.iso", True),
        ("[a-d]ebian.iso", "isos/debian.iso", True),
        ("[debian.iso", "[debian.iso", True),
        ("[]]x", "]x", True),
        ("*\n*", "a\nb", True),
        ("f*chse", "tiere/füchse", True),
        ("\udcff", "a", False),
        ("*\udcff", "a", False),
    ],
)
def test_a_pattern_is_a_glob_on_a_name_or_its_last_part_or_else_a_part_of_it(
    pattern: str,
    name: str,
    matches: bool,  # noqa: FBT001
) -> None:
    assert Pattern(pattern).matches([name]) is matches
    assert (firsts(narrowed([catalog((1, name))], pattern)[0]) == [1]) is matches


@given(st.lists(names, max_size=4), st.text(LETTERS, max_size=5))
@example([["]"]], "[]]")
@example([["[ab"], ["ab"]], "[ab")
def test_what_is_found_in_encoded_entries_is_what_their_names_say(
    several: list[list[str]], pattern: str
) -> None:
    shelf = catalog(*((number, "|".join(each)) for number, each in enumerate(several, 1)))
    if any(character in pattern for character in "*?["):
        expected = [
            number
            for number, each in enumerate(several, 1)
            for name in [
                any(
                    fnmatch.fnmatchcase(one, pattern)
                    or fnmatch.fnmatchcase(one.rpartition("/")[2], pattern)
                    for one in each
                )
            ]
            if name
        ]
    else:
        expected = [
            number for number, each in enumerate(several, 1) if any(pattern in one for one in each)
        ]
    assert firsts(narrowed([shelf], pattern)[0]) == expected


def test_a_file_that_matches_at_one_peer_is_told_of_all_whatever_they_call_it() -> None:
    shelves = [catalog((1, "a.iso"), (2, "b")), catalog((1, "other"), (3, "c")), Catalog()]
    assert [firsts(runs) for runs in narrowed(shelves, "*.iso")] == [[1], [1], []]


@pytest.mark.parametrize("wanted", [1, 150, 3000])
def test_a_catalog_gives_the_entries_of_digests_be_they_few_or_many(wanted: int) -> None:
    numbers = range(3000)
    entries = [Entry(Digest(number.to_bytes(20)), 1, (f"{number}" * 9,)) for number in numbers]
    shelf = Catalog(1, entries)
    digests = {entry.digest for entry in entries[:wanted]} | {Digest(b"\xff" * 20)}
    runs = shelf.only(digests)
    assert [entry for run in runs for entry in run] == entries[:wanted]
    assert all(len(run.data) <= 48 * 1024 for run in runs)
    assert Catalog().only(digests) == ()


def test_of_everything_the_runs_are_those_of_the_catalog() -> None:
    shelf = catalog((1, "a"))
    assert narrowed([shelf], "") == [shelf.runs()]


def test_bytes_that_two_entries_have_between_them_are_in_neither() -> None:
    run = Run.of([Entry(Digest(b"a" * 20), 1, ("xy",)), Entry(Digest(b"z" * 20), 1, ("zz",))])
    pattern = Pattern("yz")
    assert list(pattern.digests(Catalog(1, runs=[run]))) == []
    assert list(run.having(b"zz")) == [1]
    assert list(run.having(b"")) == [0, 1]
    assert list(Run().having(b"")) == []
