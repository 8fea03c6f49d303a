"""A plan for a part of a file: what is needed, the tests of a claim, and nothing else."""

import pytest
from chains import false_chain, invented_chain

from pirate.chain import Chain, Link
from pirate.policy.plan import Plan

TRUE = invented_chain(9)
LAST = TRUE.count - 1
NEEDED = range(2, 4)


def plan(*holders: str, chain: Chain = TRUE, proven: dict[int, Link] | None = None) -> Plan:
    made = Plan(proven or {}, lambda _: NEEDED)
    for holder in holders:
        made.join(holder, chain)
    return made


def links(chain: Chain, *indices: int) -> dict[int, Link]:
    return {index: chain.link(index) for index in indices}


def drain(made: Plan, holder: str, now: float = 0.0) -> list[int]:
    """Let a holder prove all that it is asked for."""
    proven = []
    while (index := made.take(holder, now)) is not None:
        proven.append(index)
        made.prove(holder, index, now)
    return proven


def test_the_last_segment_and_those_that_are_needed_are_asked_for_and_no_other() -> None:
    made = plan("A")
    assert drain(made, "A") == [LAST, *NEEDED]
    assert made.done


def test_what_is_there_is_not_asked_for_and_the_rest_of_the_file_is_of_no_use() -> None:
    made = plan("A", proven=links(TRUE, 0, 1, 2, LAST))
    assert drain(made, "A") == [3]
    assert made.done


def test_a_range_behind_the_end_is_over_with_the_last_segment() -> None:
    made = Plan({}, lambda _: range(0))
    made.join("A", TRUE)
    assert not made.done
    assert drain(made, "A") == [LAST]
    assert made.done


def test_what_is_there_already_is_done_when_somebody_vouches_for_it_and_not_before() -> None:
    made = plan(proven=links(TRUE, *NEEDED, LAST))
    assert not made.done
    made.join("A", TRUE)
    assert made.done


@pytest.mark.parametrize(("wrong", "test"), [({3}, 3), ({6}, 6), ({3, 6}, 3), ({2, 3, 6, 7}, 3)])
def test_claims_that_disagree_are_told_apart_by_one_segment_needed_or_not(
    wrong: set[int], test: int
) -> None:
    made = plan("A", proven=links(TRUE, LAST))
    made.join("L", false_chain(TRUE, wrong))
    assert [made.take("A", 0), made.take("L", 0)] == [test, test]
    assert made.take("A", 0) is made.take("L", 0) is None
    made.prove("A", test, 0)
    assert drain(made, "A") == sorted({*NEEDED} - {test})
    assert made.done


def test_a_liar_that_is_found_out_is_tested_against_no_more() -> None:
    made = plan("A", proven=links(TRUE, LAST))
    made.join("L", false_chain(TRUE, {6}))
    assert made.take("L", 0) == 6
    made.leave("L")
    assert drain(made, "A") == [*NEEDED]
    assert made.done


def test_what_is_here_is_not_enough_while_somebody_contests_it() -> None:
    made = plan("A", proven=links(TRUE, 2, LAST))
    made.join("L", false_chain(TRUE, {6}))
    assert made.take("A", 0) == 6
    made.prove("A", 6, 0)
    assert not made.done
    made = plan(proven=links(TRUE, LAST))
    made.join("L", false_chain(TRUE, {6}))
    made.join("A", TRUE)
    assert [made.take("L", 0), made.take("A", 0)] == [6, 6]


def test_it_is_done_when_the_last_to_contest_it_leaves() -> None:
    made = plan("L", chain=false_chain(TRUE, {6}), proven=links(TRUE, *NEEDED))
    assert made.take("L", 0) == LAST
    made.join("A", TRUE)
    made.prove("L", LAST, 0)  # it is the same in both chains
    assert not made.done
    made.leave("L")
    assert made.done


def test_a_false_claim_is_never_done_once_nobody_vouches_for_it() -> None:
    false = false_chain(TRUE, {6})
    made = plan(proven=links(TRUE, *NEEDED))
    made.join("L", false)
    made.join("A", TRUE)
    assert made.take("L", 0) == LAST
    made.leave("L")
    assert not made.done
    assert made.take("A", 0) == LAST
    made.leave("A")
    assert made.stranded
    assert not made.done


def test_of_another_size_other_segments_are_needed() -> None:
    shorter = Chain(TRUE.digest, TRUE.size - 1, TRUE.states)
    made = Plan({}, lambda size: range(1) if size == TRUE.size else range(5, 6))
    made.join("L", shorter)
    made.join("A", TRUE)
    assert [made.take("L", 0), made.take("A", 0)] == [LAST, LAST]
    made.leave("L")
    made.prove("A", LAST, 0)
    assert drain(made, "A") == [0]
    assert made.done


def test_bytes_that_came_for_nothing_can_be_asked_for_again() -> None:
    made = plan("A", proven=links(TRUE, LAST))
    made.join("L", false_chain(TRUE, {6}))
    assert made.take("A", 0) == 6
    made.leave("L")
    assert not made.wanted(6, TRUE)
    made.waste("A", 6)
    made.join("M", false_chain(TRUE, {6}))
    assert made.take("A", 0) == 6


def test_what_another_proves_completes_no_claim_that_nobody_vouches_for() -> None:
    false = false_chain(TRUE, {2, 3, 4})
    made = plan("L", chain=false, proven=links(false, *NEEDED))
    assert made.take("L", 0) == LAST
    made.leave("L")
    made.join("A", TRUE)
    assert made.take("A", 0) == LAST
    made.prove("A", LAST, 0)  # it is the same in both chains
    assert not made.done
    assert drain(made, "A") == [*NEEDED]
    assert made.done


def test_a_test_that_is_late_and_tells_nothing_any_more_is_not_asked_for_again() -> None:
    made = plan("A", "B", proven=links(TRUE, LAST))
    made.join("L", false_chain(TRUE, {6}))
    assert made.take("A", 0) == 6
    made.leave("L")
    assert [made.take("A", 1), made.take("A", 1)] == [*NEEDED]
    assert made.take("B", 100) == 2
