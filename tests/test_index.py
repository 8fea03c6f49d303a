import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pirate import index as index_module
from pirate.disk.hashing import Hashed
from pirate.disk.tree import Identity, Place
from pirate.index import Index, Standing
from pirate.model import Digest
from pirate.wire.entries import encoded


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


def meet(index: Index, where: Place, known: Hashed) -> Standing:
    return index.meet(*where, known.identity)


def test_what_was_learnt_is_known_where_it_lies(index: Index) -> None:
    index.learn([(place("a"), hashed(1, 1))])
    index.learn([(place("b", "c"), hashed(1, 2))])
    index.learn([(place("b", "d"), hashed(2, 3))])
    assert dict(index.places(digest(1))) == {
        place("a"): hashed(1, 1).identity,
        place("b", "c"): hashed(1, 2).identity,
    }
    assert index.places(digest(3)) == []
    assert len(index.places(digest(1), 1)) == 1
    assert index.states(digest(1)) == b"\1" * 40
    assert index.states(digest(2)) == index.states(digest(3)) == b""
    assert index.changes() == {digest(1), digest(2)}
    assert index.changes() == set()


def test_a_file_stands_as_it_was_left(index: Index) -> None:
    index.learn([(place("a"), hashed(1))])
    index.learn([(place("b"), hashed(2, settled=False))])
    index.changes()
    index.begin()
    assert meet(index, place("a"), hashed(1)) is Standing.SETTLED
    assert meet(index, place("b"), hashed(2)) is Standing.YOUNG
    assert meet(index, place("c"), hashed(3)) is Standing.NEW
    assert meet(index, place("x", "a"), hashed(1)) is Standing.NEW
    assert meet(index, place("a"), hashed(1, 9)) is Standing.CHANGED
    assert meet(index, place("a"), hashed(1)) is Standing.NEW
    assert index.changes() == {digest(1)}
    assert index.places(digest(1)) == []


def test_what_a_scan_has_not_seen_is_forgotten(index: Index) -> None:
    for number, name in enumerate("abc"):
        index.learn([(place(name), hashed(number, number))])
    index.begin()
    meet(index, place("b"), hashed(1, 1))
    index.learn([(place("d"), hashed(7))])
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
        index.learn([(place(*path.split("/")), hashed(number, number))])
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

    def teardown(self) -> None:
        self._patch.undo()

    @rule(where=places, content=st.integers(1, 4), inode=st.integers(1, 3))
    def learn(self, where: Place, content: int, inode: int) -> None:
        self.known[where] = hashed(content, inode)
        self.index.learn([(where, self.known[where])])

    @rule(many=st.lists(st.tuples(places, st.integers(1, 4), st.integers(1, 3))))
    def learn_many(self, many: list[tuple[Place, int, int]]) -> None:
        known = [(where, hashed(content, inode)) for where, content, inode in many]
        self.known.update(known)
        self.index.learn(known)

    @rule(where=places)
    def forget(self, where: Place) -> None:
        self.known.pop(where, None)
        self.index.forget(where)

    @rule(seen=st.sets(places))
    def scan(self, seen: set[Place]) -> None:
        self.index.begin()
        for where in seen & self.known.keys():
            assert meet(self.index, where, self.known[where]) is Standing.SETTLED
        self.index.sweep()
        self.known = {where: what for where, what in self.known.items() if where in seen}

    @invariant()
    def entries_tell_where_all_lie(self) -> None:
        names: dict[Digest, list[str]] = {digest(content): [] for content in range(1, 5)}
        for where, what in self.known.items():
            names[what.digest].append("/".join(where.parts))
        for each, entry in zip(names, self.index.entries(names), strict=True):
            size = next(
                (what.identity.size for what in self.known.values() if what.digest == each), 0
            )
            assert entry == encoded(each, size, sorted(names[each]))

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
