"""The plan's docstring, sentence by sentence. ``A``, ``B`` ... are holders."""

import time

import pytest
from chains import false_chain, invented_chain

from pirate.chain import MOST_LINKS, Chain, Link
from pirate.policy.plan import FIRST_GUESS, PATIENCE, Plan

TRUE = invented_chain(8)
LAST = TRUE.count - 1
SHORTER = Chain(TRUE.digest, TRUE.size - 1, TRUE.states)  # the same states, another size
LATE = PATIENCE * FIRST_GUESS + 0.001


def plan(*holders: str, chain: Chain = TRUE, proven: dict[int, Link] | None = None) -> Plan:
    made = Plan(proven or {})
    for holder in holders:
        made.join(holder, chain)
    return made


def links(chain: Chain, *indices: int) -> dict[int, Link]:
    return {index: chain.link(index) for index in indices}


def bound(*holders: str) -> Plan:
    """A plan whose only claim has passed its test: the size is proven."""
    return plan(*holders, proven=links(TRUE, LAST))


def drain(made: Plan, holder: str, now: float = 0.0) -> list[int]:
    """Let a holder prove all that it is asked for."""
    proven = []
    while (index := made.take(holder, now)) is not None:
        proven.append(index)
        made.prove(holder, index, now)
    return proven


def state(made: Plan) -> str:
    return "done" if made.done else "stranded" if made.stranded else "open"


# One claim.


def test_the_last_segment_is_asked_for_first_then_the_others_from_the_first_on() -> None:
    made = plan("A")
    assert drain(made, "A") == [LAST, *range(LAST)]
    assert state(made) == "done"


def test_nothing_else_is_asked_for_until_the_last_segment_has_proven_the_size() -> None:
    made = plan("A", "B")
    assert made.take("A", 0) == LAST
    assert made.take("A", 0) is made.take("B", 0) is None
    made.prove("A", LAST, 0)
    assert [made.take("A", 0), made.take("B", 0)] == [0, 1]


def test_nobody_is_asked_for_what_is_there_or_on_its_way() -> None:
    made = plan("A", "B", proven=links(TRUE, 2, 3, LAST))
    asked = [made.take(holder, 0) for holder in "ABABABAB"]
    assert asked == [0, 1, 4, 5, 6, None, None, None]


def test_a_file_that_is_there_already_is_done_when_somebody_vouches_for_it() -> None:
    made = plan(proven=links(TRUE, *range(TRUE.count)))
    assert state(made) == "stranded"
    made.join("A", TRUE)
    assert state(made) == "done"
    assert made.take("A", 0) is None


def test_it_is_done_when_the_last_link_is_proven_and_not_before() -> None:
    made = bound("A")
    for index in range(LAST):
        assert state(made) == "open"
        assert made.take("A", 0) == index
        made.prove("A", index, 0)
    assert state(made) == "done"
    assert not made.wanted(0, TRUE)


def test_an_empty_file_is_one_segment() -> None:
    made = plan("A", chain=Chain(TRUE.digest, 0, b""))
    assert drain(made, "A") == [0]
    assert state(made) == "done"


# Those who fail.


def test_what_a_holder_that_leaves_was_asked_for_goes_to_the_next() -> None:
    made = bound("A", "B")
    assert [made.take("A", 0), made.take("A", 0), made.take("B", 0)] == [0, 1, 2]
    made.leave("A")
    assert [made.take("B", 0) for _ in range(3)] == [0, 1, 3]
    assert made.take("A", 0) is None


def test_it_is_stranded_when_nobody_is_left_until_somebody_comes() -> None:
    made = bound("A")
    assert state(made) == "open"
    made.leave("A")
    assert state(made) == "stranded"
    made.join("B", TRUE)
    assert drain(made, "B") == [*range(LAST)]
    made.leave("B")
    assert state(made) == "done"


def test_what_lands_after_its_holder_was_dropped_is_kept_and_not_asked_for_again() -> None:
    """Writing takes a while: meanwhile another connection of the same peer may be convicted."""
    made = bound("A", "B")
    assert made.take("A", 0) == 0
    assert made.wanted(0, TRUE)
    made.leave("A")
    made.prove("A", 0, 0)
    assert drain(made, "B") == [*range(1, LAST)]
    assert state(made) == "done"


def test_what_lands_after_the_claims_have_changed_is_proven_under_its_own_chain() -> None:
    made = bound("A")
    made.join("B", false_chain(TRUE, {1}))
    assert made.take("A", 0) == 1
    made.leave("A")
    made.prove("A", 1, 0)
    assert drain(made, "B") == [*range(LAST)], "the link of the other chain is still open"


# Those who are slow.


def test_a_segment_that_is_late_is_asked_of_another_once() -> None:
    made = plan("A", "B", proven=links(TRUE, *range(1, TRUE.count)))
    assert made.take("A", 0) == 0
    assert made.take("B", LATE - 0.002) is None
    assert made.take("A", LATE) is None
    assert made.take("B", LATE) == 0
    assert made.take("B", LATE) is None
    made.prove("B", 0, LATE)
    assert state(made) == "done"


def test_patience_is_measured_by_what_the_idle_holder_needs() -> None:
    made = bound("A", "B")
    for now in (0.0, 0.1):
        index = made.take("B", now)
        assert index is not None
        made.prove("B", index, now + 0.1)
    while made.take("A", 1.0) is not None:
        pass
    assert made.take("B", 1.0 + PATIENCE * 0.1 - 0.01) is None
    assert made.take("B", 1.0 + PATIENCE * 0.1 + 0.01) == 2


def test_a_quick_holder_takes_what_two_slow_ones_owe() -> None:
    made = plan("A", "B", proven=links(TRUE, *range(1, TRUE.count)))
    assert made.take("A", 0) == 0
    assert made.take("B", LATE) == 0
    made.join("C", TRUE)
    assert made.take("C", LATE) is None
    assert made.take("C", 2 * LATE) == 0


def test_the_longest_owed_segment_is_the_first_to_be_asked_again() -> None:
    made = bound("A", "B")
    asked = [made.take("A", now) for now in range(LAST)]
    assert [made.take("B", 100.0) for _ in asked] == asked


# Claims that disagree.


def test_telling_segments_come_after_the_last_and_before_all_others() -> None:
    made = plan("A")
    made.join("B", false_chain(TRUE, {3, 5}))
    made.join("C", false_chain(TRUE, {2}))
    assert drain(made, "A") == [LAST, 2, 3, 5, 0, 1, 4, 6]


def test_claims_are_tested_side_by_side_and_a_test_is_all_they_are_asked_for() -> None:
    made = plan("A", "A2")
    made.join("B", false_chain(TRUE, {3}))
    assert [made.take(holder, 0) for holder in ("B", "A", "A2")] == [LAST, None, None]
    made.prove("B", LAST, 0)  # they share it
    assert [made.take(holder, 0) for holder in ("B", "A", "A2")] == [3, 3, None]
    made.prove("A", 3, 0)
    assert not made.wanted(3, TRUE)
    assert [made.take(holder, 0) for holder in ("B", "A", "A2")] == [None, 0, 1]


def test_a_link_that_claims_share_is_asked_for_once_until_it_is_late() -> None:
    made = plan("B", chain=false_chain(TRUE, {3}))
    assert made.take("B", 0) == LAST
    made.join("A", TRUE)
    assert made.take("A", LATE - 0.002) is None
    assert drain(made, "A", LATE) == [LAST, 3, 0, 1, 2, 4, 5, 6]
    assert state(made) == "done"


def test_a_link_that_claims_share_is_asked_of_another_when_its_holder_leaves() -> None:
    made = plan("B", chain=false_chain(TRUE, {3}))
    assert made.take("B", 0) == LAST
    made.join("A", TRUE)
    assert made.take("A", 0) is None
    made.leave("B")
    assert drain(made, "A") == [LAST, 0, 1, 2, 3, 4, 5, 6]


def test_a_false_claim_that_dawdles_holds_up_no_other() -> None:
    made = plan("B", chain=false_chain(TRUE, {LAST}))
    assert made.take("B", 0) == LAST
    made.join("A", TRUE)
    assert drain(made, "A") == [LAST, *range(LAST)]
    assert state(made) == "done"


def test_what_another_claim_asked_for_before_is_kept_where_the_link_is_shared() -> None:
    made = plan("B", chain=false_chain(TRUE, {5}), proven=links(TRUE, LAST))
    assert [made.take("B", 0) for _ in range(6)] == [0, 1, 2, 3, 4, 5]
    made.join("A", TRUE)
    assert made.take("A", 0) == 5
    made.prove("A", 5, 0)
    assert made.take("A", 0) == 4
    assert [made.wanted(index, false_chain(TRUE, {5})) for index in (0, 4)] == [True, False]
    made.prove("B", 0, 0)
    made.leave("B")
    assert drain(made, "A") == [1, 2, 3, 6]


def test_a_claim_that_comes_later_puts_the_active_one_to_the_test_again() -> None:
    made = plan("B", chain=false_chain(TRUE, {5}))
    assert made.take("B", 0) == LAST
    made.prove("B", LAST, 0)
    assert made.take("B", 0) == 0
    made.join("A", TRUE)
    assert made.take("B", 0) == 5
    assert made.take("B", 0) is None
    assert made.wanted(0, TRUE)
    assert drain(made, "A") == [5, *range(1, 5), 6]
    made.prove("B", 0, 0)
    assert state(made) == "done"


def test_when_a_claim_has_nobody_left_the_next_goes_on_with_the_links_that_both_share() -> None:
    made = plan("B", chain=false_chain(TRUE, {5}))
    for expected in (LAST, 0, 1, 2, 3, 4):
        assert made.take("B", 0) == expected
        made.prove("B", expected, 0)
    made.leave("B")
    made.join("A", TRUE)
    assert drain(made, "A") == [5, 6, 4]  # and 4 was proven under the lie: fetched again
    assert state(made) == "done"


def test_what_is_proven_under_another_chain_is_written_over_last() -> None:
    made = plan("B", chain=false_chain(TRUE, {2, 3}), proven=links(TRUE, 2, LAST))
    assert drain(made, "B") == [0, 1, 3, 4, 5, 6, 2]


@pytest.mark.parametrize("first", [TRUE, SHORTER])
def test_nothing_is_shared_between_two_sizes_not_even_with_equal_states(first: Chain) -> None:
    other = SHORTER if first is TRUE else TRUE
    made = plan("A", chain=first, proven=links(first, *range(LAST - 1)))
    made.join("B", other)
    assert made.take("A", 0) == made.take("B", 0) == LAST
    made.prove("B", LAST, 0)
    assert drain(made, "B") == [*range(LAST)]
    assert state(made) == "done"


def test_segments_of_another_size_are_gone_once_something_is_written_over_them() -> None:
    made = plan("A", proven=links(TRUE, *range(LAST)))
    made.join("B", SHORTER)
    assert made.take("B", 0) == LAST
    made.prove("B", LAST, 0)
    made.leave("B")
    assert drain(made, "A") == [LAST, *range(LAST)]


def test_while_one_claim_is_active_the_holders_of_others_are_asked_for_nothing() -> None:
    made = bound("A")
    assert made.take("A", 0) == 0
    made.join("B", false_chain(TRUE, {3}))
    assert made.take("A", 0) == 3
    made.prove("A", 3, 0)
    assert made.take("A", 0) == 1
    made.join("B2", false_chain(TRUE, {3}))
    assert made.take("B", 100) is made.take("B2", 100) is None


def test_what_was_asked_for_before_a_test_is_not_asked_for_again_during_it() -> None:
    made = plan("B", "B2", chain=false_chain(TRUE, {5}), proven=links(TRUE, LAST))
    assert made.take("B", 0) == 0
    made.join("A", TRUE)
    assert made.take("B", 0) == 5
    assert made.take("B2", LATE) == 5
    assert made.take("B2", LATE) is None


def test_even_if_two_chains_pass_a_segment_the_bytes_that_are_there_count() -> None:
    """The author of a file may know such bytes (a free-start collision), so nobody relies on it."""
    made = plan("A", proven=links(TRUE, 3, LAST))
    made.join("B", false_chain(TRUE, {3}))
    assert made.take("B", 0) == 3
    made.prove("B", 3, 0)
    made.leave("B")
    assert drain(made, "A") == [0, 1, 2, 4, 5, 6, 3]
    assert state(made) == "done"


# What it costs.


def test_the_longest_plan_is_made_and_carried_out_in_no_time() -> None:
    chain = invented_chain(MOST_LINKS)
    others = [false_chain(chain, set(range(shift, MOST_LINKS, 9))) for shift in range(1, 4)]
    began = time.process_time()
    made = plan("A", "B", chain=chain)
    for number, other in enumerate(others):
        made.join(number, other)
        made.take(number, 0)
        made.leave(number)
    assert sorted(drain(made, "A")) == [*range(MOST_LINKS)]
    assert state(made) == "done"
    assert time.process_time() - began < 3.0


def test_a_link_is_doubted_when_the_active_claim_says_otherwise() -> None:
    false = false_chain(TRUE, {3})
    made = plan("A", chain=false)
    made.join("B", TRUE)
    wrong, shared = false.link(3), TRUE.link(0)
    assert made.doubted(3, wrong) == set(), "none is active yet"
    made.leave("A")
    drain(made, "B")
    assert made.doubted(3, wrong) == {"A"}
    assert made.doubted(0, shared) == made.doubted(3, TRUE.link(3)) == set()
    assert made.doubted(TRUE.count, wrong) == set(), "nobody ever vouched for it"
