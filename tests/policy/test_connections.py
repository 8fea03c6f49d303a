"""Who gets a second connection, and how many there are. ``A``, ``B`` ... are holders."""

import pytest

from pirate.chain import MIB, segment_size
from pirate.fetch.terms import HOLDERS
from pirate.policy.connections import (
    BUFFER_BYTES,
    CONNECTIONS,
    EARNED,
    FASTER,
    Merit,
    places,
)

GIB = 2**30
MANY = 1000


def awarded(holders: str, missing: int = MANY) -> list[int]:
    """After which of the segments that they prove, in this order, one gets a connection."""
    merit = Merit()
    return [at for at, holder in enumerate(holders, 1) if merit.prove(holder, missing)]


def test_a_lone_holder_gets_a_second_connection_once_when_it_has_proven_enough() -> None:
    assert awarded("A" * MANY) == [EARNED]


def test_holders_of_like_speed_get_none() -> None:
    assert awarded("AB" * MANY) == awarded("AAB" * MANY) == []


def test_a_holder_that_gives_most_of_what_comes_gets_one_and_the_slow_one_none() -> None:
    assert awarded(("A" * 9 + "B") * MANY) == [EARNED + 1]
    assert awarded("B" + "A" * MANY) == [EARNED + 1]
    assert awarded("B" * 10 + "A" * MANY) == [10 + 10 * FASTER]


def test_a_lead_over_each_but_not_over_all_is_not_enough() -> None:
    assert awarded(("AAAA" + "BCDE") * MANY) == []


def test_for_the_few_segments_that_are_left_none_is_opened() -> None:
    assert awarded("A" * MANY, missing=EARNED - 1) == []
    assert awarded("A" * MANY, missing=EARNED) == [EARNED]


def test_when_somebody_comes_or_goes_it_has_to_be_earned_again() -> None:
    merit = Merit()
    for _ in range(EARNED - 1):
        assert not merit.prove("A", MANY)
    merit.change()
    assert [merit.prove("A", MANY) for _ in range(EARNED)] == [False] * (EARNED - 1) + [True]


@pytest.mark.parametrize("gib", [0, 1, 16, 32, 64, 128])
def test_the_buffers_of_files_up_to_128_gib_stay_within_16_mib(gib: int) -> None:
    segment = segment_size(gib * GIB)
    assert places(segment) * segment <= BUFFER_BYTES == 16 * MIB


@pytest.mark.parametrize("gib", [256, 512, 1024])
def test_larger_files_have_two_buffers_of_a_segment(gib: int) -> None:
    segment = segment_size(gib * GIB)
    assert places(segment) * segment == gib * MIB // 8


def test_files_up_to_32_gib_have_a_connection_for_every_holder() -> None:
    assert places(segment_size(16 * GIB)) == CONNECTIONS * HOLDERS
    assert places(segment_size(32 * GIB)) == HOLDERS
