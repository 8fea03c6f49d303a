"""Which of many files is asked of whom."""

import random

from pirate.policy.tour import PATIENCE, Tours


def test_a_holder_is_asked_for_all_in_their_order() -> None:
    tours = Tours(5)
    tours.join("a")
    assert tours.take("a", 3, 0.0) == [0, 1, 2]
    assert tours.take("a", 3, 0.0) == [3, 4]
    assert tours.take("a", 3, 0.0) == []


def test_two_holders_are_asked_for_different_ones() -> None:
    tours = Tours(4)
    tours.join("a")
    tours.join("b")
    assert tours.take("a", 2, 0.0) == [0, 1]
    assert tours.take("b", 4, 0.0) == [2, 3]
    assert tours.take("b", 4, 0.0) == []
    assert not tours.over("b")


def test_what_one_does_not_have_the_other_is_asked_for() -> None:
    tours = Tours(2)
    tours.join("a")
    tours.join("b")
    assert tours.take("a", 2, 0.0) == [0, 1]
    assert tours.take("b", 2, 0.0) == []
    tours.refuse("a", 0)
    assert tours.take("b", 2, 0.0) == [0]
    assert tours.take("a", 2, 0.0) == []
    assert tours.settle(1)
    assert tours.over("a")
    assert not tours.over("b")


def test_what_broke_off_is_open_again_for_all() -> None:
    tours = Tours(3)
    tours.join("a")
    tours.join("b")
    assert tours.take("a", 3, 0.0) == [0, 1, 2]
    assert tours.settle(0)
    tours.leave("a")
    assert tours.take("b", 1, 0.0) == [1]
    assert tours.take("a", 3, 0.0) == [2]


def test_what_is_late_is_asked_for_once_more_and_settled_once() -> None:
    tours = Tours(1)
    tours.join("a")
    tours.join("b")
    assert tours.take("a", 1, 0.0) == [0]
    assert tours.take("b", 1, PATIENCE) == []
    assert tours.take("b", 1, PATIENCE + 0.1) == [0]
    assert tours.take("b", 1, PATIENCE + 9.0) == []
    assert tours.settle(0)
    assert not tours.settle(0)
    assert tours.left == 0
    assert tours.over("a")


def test_every_file_is_asked_of_every_holder_until_one_has_it() -> None:
    """Also where holders come, break off and come back, in any order."""
    for seed in range(200):
        rng = random.Random(seed)
        count, holders = rng.randint(1, 12), "abc"[: rng.randint(1, 3)]
        has = {holder: {i for i in range(count) if rng.random() < 0.4} for holder in holders}
        tours, owed = Tours(count), {holder: list[int]() for holder in holders}
        asked: set[tuple[str, int]] = set()
        for holder in holders:
            tours.join(holder)
        while not all(tours.over(holder) for holder in holders):
            holder = rng.choice(holders)
            owed[holder] += tours.take(holder, rng.randint(1, 4), 0.0)
            if rng.random() < 0.1:
                tours.leave(holder)
                tours.join(holder)
                owed[holder].clear()
            while owed[holder] and rng.random() < 0.7:
                index = owed[holder].pop(0)
                asked.add((holder, index))
                if index in has[holder]:
                    assert tours.settle(index)
                else:
                    tours.refuse(holder, index)
        assert set(tours.open) == set(range(count)) - set().union(*has.values()), seed
        assert {(holder, i) for holder in holders for i in tours.open} <= asked
