import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pirate import index as index_module
from pirate.disk.hashing import Hashed, Sheet
from pirate.disk.place import Identity, Place
from pirate.disk.tree import Listing
from pirate.index import Index
from pirate.model import Digest
from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run, encode_gone, encoded


def digest(number: int) -> Digest:
    return Digest(random.Random(number).randbytes(20))


def hashed(content: int, inode: int = 1, *, settled: bool = True) -> Hashed:
    states = bytes([content]) * 40 if content % 2 else b""
    return Hashed(digest(content), states, Identity(2**63, inode, content, -1, 2), settled)


def place(*parts: str) -> Place:
    return Place("/share", parts)


@pytest.fixture(name="index")
def _index() -> Index:
    return Index()


def learn(index: Index, where: Place, known: Hashed) -> None:
    index.learn(Sheet.of(where.folder, {where.parts[-1]: known}))


def meet(index: Index, where: Place, known: Hashed) -> str:
    """What is said of one file: it is new, or to be read again, or what was hashed."""
    columns = [where.parts[-1]], [known.identity], [1]
    new, again = index.meet(Listing(where.root, where.parts[:-1], 0, *columns))
    return "new" if new else "again" if again else "settled"


def test_what_was_learnt_is_known_where_it_lies(index: Index) -> None:
    learn(index, place("a"), hashed(1, 1))
    learn(index, place("b", "c"), hashed(1, 2))
    learn(index, place("b", "d"), hashed(2, 3))
    assert dict(index.places(digest(1))) == {
        place("a"): hashed(1, 1).identity,
        place("b", "c"): hashed(1, 2).identity,
    }
    assert index.places(digest(3)) == []
    assert len(index.places(digest(1), 1)) == 1
    assert index.states(digest(1)) == b"\1" * 40
    assert index.states(digest(2)) == index.states(digest(3)) == b""
    assert index.changes(Catalog()) == sorted(
        [encoded(digest(1), 1, ("a", "b/c")), encoded(digest(2), 2, ("b/d",))]
    )
    assert index.changes(Catalog()) == []


def test_a_file_stands_as_it_was_left(index: Index) -> None:
    learn(index, place("a"), hashed(1))
    learn(index, place("b"), hashed(2, settled=False))
    known = Catalog().changed(1, Run.packed(index.changes(Catalog())))
    index.begin()
    assert meet(index, place("a"), hashed(1)) == "settled"
    assert meet(index, place("b"), hashed(2)) == "again"
    assert meet(index, place("c"), hashed(3)) == "new"
    assert meet(index, place("x", "a"), hashed(1)) == "new"
    assert meet(index, place("a"), hashed(1, 9)) == "again"
    assert meet(index, place("a"), hashed(1)) == "new"
    assert index.changes(known) == [encode_gone(digest(1))]
    assert index.places(digest(1)) == []


def test_what_a_scan_has_not_seen_is_forgotten(index: Index) -> None:
    for number, name in enumerate("abc"):
        learn(index, place(name), hashed(number, number))
    index.begin()
    meet(index, place("b"), hashed(1, 1))
    learn(index, place("d"), hashed(7))
    index.sweep()
    assert len(index) == 2
    assert index.places(digest(1))
    assert index.places(digest(7))


@pytest.mark.parametrize(
    ("swept", "left"),
    [
        ([place("a")], ["ab/x", "e"]),
        ([place("a", "b")], ["a/d", "ab/x", "e"]),
        ([place("e")], ["a/b/c", "a/d", "ab/x"]),
        ([place("e"), place("a", "d"), place("nothing")], ["a/b/c", "ab/x"]),
        ([place()], []),
        ([Place("/other", ("e",)), Place("/other", ())], ["a/b/c", "a/d", "ab/x", "e"]),
        ([], ["a/b/c", "a/d", "ab/x", "e"]),
    ],
)
def test_only_what_is_at_or_below_a_place_is_swept(
    index: Index, swept: list[Place], left: list[str]
) -> None:
    for number, path in enumerate(("a/b/c", "a/d", "ab/x", "e")):
        learn(index, place(*path.split("/")), hashed(number, number))
    index.begin()
    index.sweep(swept)
    found = [each for number in range(4) for each, _ in index.places(digest(number))]
    assert ["/".join(each.parts) for each in found] == left


class Indexing(RuleBasedStateMachine):
    """An index with few buckets, beside a dict that does the same."""

    places = st.builds(place, st.sampled_from("ab"), st.sampled_from("cdefgh"))

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(index_module, "_FEWEST_BUCKETS", 2)
        self.index = Index()
        self.known: dict[Place, Hashed] = {}
        self.catalog = Catalog()

    def teardown(self) -> None:
        self._patch.undo()

    @rule(where=places, content=st.integers(1, 4), inode=st.integers(1, 3))
    def learn(self, where: Place, content: int, inode: int) -> None:
        self.known[where] = hashed(content, inode)
        learn(self.index, where, self.known[where])

    @rule(
        folder=st.sampled_from("ab"),
        contents=st.dictionaries(st.sampled_from("cdefgh"), st.integers(1, 4)),
    )
    def learn_many(self, folder: str, contents: dict[str, int]) -> None:
        files = {name: hashed(content, 7) for name, content in contents.items()}
        self.known.update((place(folder, name), each) for name, each in files.items())
        self.index.learn(Sheet.of(place(folder), files))

    @rule(where=places)
    def forget(self, where: Place) -> None:
        self.known.pop(where, None)
        self.index.forget(where)

    @rule(seen=st.sets(places))
    def scan(self, seen: set[Place]) -> None:
        self.index.begin()
        for where in seen & self.known.keys():
            assert meet(self.index, where, self.known[where]) == "settled"
        self.index.sweep()
        self.known = {where: what for where, what in self.known.items() if where in seen}

    @rule()
    def publish(self) -> None:
        changes = self.index.changes(self.catalog)
        assert changes == sorted(changes)
        assert self.catalog.unlike(changes) == changes
        self.catalog = self.catalog.changed(self.catalog.revision + 1, Run.packed(changes))
        listed = {entry.digest: (entry.size, set(entry.names)) for entry in self.catalog}
        wanted: dict[Digest, tuple[int, set[str]]] = {}
        for where, what in self.known.items():
            wanted.setdefault(what.digest, (what.identity.size, set()))
            wanted[what.digest][1].add("/".join(where.parts))
        assert listed == wanted

    @invariant()
    def both_know_the_same(self) -> None:
        assert len(self.index) == len(self.known)
        for content in range(1, 5):
            assert dict(self.index.places(digest(content))) == {
                where: what.identity
                for where, what in self.known.items()
                if what.digest == digest(content)
            }
            lies = any(what.digest == digest(content) for what in self.known.values())
            assert bool(self.index.states(digest(content))) == (lies and content % 2 == 1)


TestIndexing = Indexing.TestCase
