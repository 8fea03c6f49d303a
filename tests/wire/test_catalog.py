import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pirate.model import Digest, Entry
from pirate.wire import catalog as catalog_module
from pirate.wire.catalog import LEAF_BYTES, Catalog
from pirate.wire.entries import Run, encode_gone

FIRST = bytes(20)
ALL = 10**9


def digest(number: int) -> Digest:
    """Digests that are in no order."""
    return Digest(random.Random(number).randbytes(20))


def entry(number: int, name: str = "x") -> Entry:
    return Entry(digest(number), number, (name,))


def gone(number: int) -> Entry:
    return Entry(digest(number), 0, ())


def entries(*numbers: int) -> list[Entry]:
    return sorted(map(entry, numbers), key=lambda one: one.digest)


def changes(*several: Entry) -> Run:
    return Run.of(sorted(several, key=lambda one: one.digest))


def listed(catalog: Catalog, digest: bytes = FIRST, limit: int = ALL) -> list[Entry]:
    return [one for run in catalog.after(digest, limit) for one in run]


def changed(
    catalog: Catalog, revision: int, digest: bytes = FIRST, limit: int = ALL
) -> list[Entry]:
    since = catalog.since(revision, digest, limit)
    assert since is not None
    return [one for run in since for one in run]


def test_a_catalog_knows_its_size() -> None:
    catalog = Catalog(7, entries(3, 4))
    assert (len(catalog), catalog.size) == (2, 7)
    assert sorted(one.size for one in catalog) == [3, 4]


def test_the_catalog_of_nobody_is_empty() -> None:
    assert (Catalog().revision, len(Catalog()), Catalog().size) == (0, 0, 0)
    assert Catalog().get(digest(1)) is None
    assert listed(Catalog()) == []


def test_catalogs_are_equal_if_all_of_them_is() -> None:
    assert Catalog(7, entries(1, 2)) == Catalog(7, runs=[Run.of([one]) for one in entries(1, 2)])
    assert Catalog(7, entries(1)) != Catalog(8, entries(1))
    assert Catalog(7, entries(1)) != Catalog(7, entries(2))
    assert hash(Catalog(7, entries(1))) == hash(Catalog(7, entries(1)))
    assert Catalog(7) != 7


def test_every_page_of_a_long_catalog_fits_and_comes_in_order() -> None:
    everything = entries(*range(5000))
    catalog = Catalog(1, everything)
    assert len(list(catalog.after(FIRST, ALL))) > 3
    for run in catalog.after(FIRST, ALL):
        assert 0 < len(run.data) <= LEAF_BYTES
    assert listed(catalog) == everything
    assert listed(catalog, everything[999].digest, 1500) == everything[1000:2500]
    assert listed(catalog, everything[-1].digest) == []
    assert listed(catalog, FIRST, 0) == []
    assert all(catalog.get(one.digest) == one for one in everything[::97])
    assert catalog.get(digest(5001)) is None


def test_a_small_change_shares_all_but_a_run_with_what_was_before() -> None:
    before = Catalog(1, entries(*range(20_000)))
    after = before.changed(2, changes(gone(3)))
    mine = {id(run) for run in before.runs()}
    assert len(before.runs()) > 10
    assert sum(id(run) not in mine for run in after.runs()) == 1
    assert (len(after), after.size) == (19_999, before.size - 3)
    assert before.get(digest(3)) == entry(3)


@pytest.mark.parametrize("few", [range(100, 103), range(0, 400, 2)])
def test_entries_that_are_in_it_already_are_told_from_others(few: range) -> None:
    catalog = Catalog(1, entries(*range(20, 2000)))
    others = [entry(3), entry(500, "another name"), entry(3000)]
    some = sorted([*entries(*few), *others], key=lambda one: one.digest)
    encoded = [bytes(Run.of([one]).data) for one in some]
    unlike = [one for one in some if one not in set(entries(*range(20, 2000)))]
    assert [Run.packed([one])[0] for one in catalog.unlike(encoded)] == unlike
    nothing = [encode_gone(one.digest) for one in others]
    assert catalog.unlike(sorted(nothing)) == [encode_gone(digest(500))]
    assert Catalog().unlike(encoded) == encoded


def test_whoever_knows_an_older_revision_is_told_what_has_changed() -> None:
    one = Catalog(1, entries(*range(10)))
    two = one.changed(2, changes(entry(10), gone(3)))
    three = two.changed(3, changes(entry(3, "again"), gone(4), gone(10)))
    assert changed(three, 3) == []
    assert changed(three, 2) == list(changes(entry(3, "again"), gone(4), gone(10)))
    assert changed(three, 1) == changed(three, 2)
    assert changed(two, 1) == list(changes(entry(10), gone(3)))
    assert three.since(7, FIRST, ALL) is None
    assert one.since(2, FIRST, ALL) is None
    known = one
    for page in changed(three, 1):
        known = known.changed(3, changes(page))
    assert known == three


def test_what_has_changed_comes_in_pages_too() -> None:
    catalog = Catalog(1, entries(*range(10))).changed(2, changes(*map(gone, range(5))))
    wanted = list(changes(*map(gone, range(5))))
    assert changed(catalog, 1, FIRST, 2) == wanted[:2]
    assert changed(catalog, 1, wanted[1].digest, 2) == wanted[2:4]
    assert changed(catalog, 1, wanted[4].digest, 2) == []


def test_the_first_revision_is_no_change_of_none() -> None:
    assert Catalog().changed(1, changes(entry(1))).since(0, FIRST, ALL) is None


def test_what_changed_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "MOST_CHANGES", 4)
    catalog = Catalog(1, entries(*range(10)))
    for number in range(6):
        catalog = catalog.changed(2 + number, changes(gone(number)))
    assert [catalog.since(number, FIRST, ALL) is None for number in range(1, 8)] == [
        *(True, True, False, False, False, False, False)
    ]
    assert catalog.changed(9, changes(*map(entry, range(5)))).since(7, FIRST, ALL) is None


class Changing(RuleBasedStateMachine):
    """A catalog with very short runs, beside a dict that does the same."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(catalog_module, "LEAF_BYTES", 300)

    def teardown(self) -> None:
        self._patch.undo()

    @initialize(numbers=st.sets(st.integers(0, 200)))
    def begin(self, numbers: set[int]) -> None:
        self.files = {digest(number): entry(number) for number in numbers}
        self.catalog = Catalog(1, entries(*numbers))
        self.before = [(self.catalog, self.catalog)]

    @rule(some=st.dictionaries(st.integers(0, 200), st.sampled_from(["", "x", "y" * 90])))
    def change(self, some: dict[int, str]) -> None:
        several = [entry(number, name) if name else gone(number) for number, name in some.items()]
        for one in several:
            self.files.pop(one.digest, None)
            if one.names:
                self.files[one.digest] = one
        before = self.catalog
        self.catalog = before.changed(before.revision + 1, changes(*several))
        self.before.append((before, self.catalog))

    @rule(data=st.data())
    def catch_up(self, data: st.DataObject) -> None:
        """Read by pages, of the newest revision at each, what has changed since an older one."""
        old, _ = data.draw(st.sampled_from(self.before))
        found: list[Entry] = []
        after = FIRST
        while page := changed(self.catalog, old.revision, after, 7):
            found += page
            after = page[-1].digest
        assert old.changed(self.catalog.revision, Run.of(found)) == self.catalog

    @invariant()
    def both_are_the_same(self) -> None:
        assert list(self.catalog) == sorted(self.files.values(), key=lambda one: one.digest)
        assert len(self.catalog) == len(self.files)
        assert self.catalog.size == sum(one.size for one in self.files.values())
        assert all(
            run and len(run.data) <= catalog_module.LEAF_BYTES for run in self.catalog.runs()
        )


TestChanging = Changing.TestCase


@given(st.integers(0, 300), st.integers(1, 40))
def test_pages_of_any_length_are_the_whole(count: int, limit: int) -> None:
    catalog = Catalog(1, entries(*range(count)))
    found: list[Entry] = []
    after = FIRST
    while page := listed(catalog, after, limit):
        found += page
        after = page[-1].digest
    assert found == list(catalog)


def test_few_changes_to_a_run_and_many_come_to_the_same() -> None:
    before = Catalog(1, entries(*range(0, 200, 2)))
    some = changes(*(gone(n) if n % 4 == 0 else entry(n, "new") for n in range(1, 60)))
    after = before.changed(2, some)
    one_by_one = before
    for change in some:
        one_by_one = one_by_one.changed(2, changes(change))
    assert list(after) == list(one_by_one)
    assert after.size == one_by_one.size
