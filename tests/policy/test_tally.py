"""What is here and what is missing, counted in bytes and segments."""

from pirate.byterange import WHOLE, ByteRange
from pirate.chain import LEAST_SEGMENT
from pirate.policy.tally import Tally

SIZE = 5 * LEAST_SEGMENT + 10


def figures(tally: Tally) -> tuple[int, int, int]:
    return tally.done, tally.total, tally.left


def test_each_segment_counts_once_however_often_it_comes() -> None:
    tally = Tally(WHOLE)
    tally.note(SIZE)
    assert figures(tally) == (0, SIZE, 6)
    tally.note(SIZE, 5, 0, 0)
    tally.note(SIZE, 0)
    assert figures(tally) == (LEAST_SEGMENT + 10, SIZE, 4)


def test_of_a_range_its_segments_count_and_the_last_one() -> None:
    tally = Tally(ByteRange(0, LEAST_SEGMENT))
    tally.note(SIZE, 3, 4)
    assert figures(tally) == (0, 2 * LEAST_SEGMENT + 10, 3)
    tally.note(SIZE, 0, 5)
    assert figures(tally) == (LEAST_SEGMENT + 10, 2 * LEAST_SEGMENT + 10, 1)


def test_with_another_size_it_begins_anew() -> None:
    tally = Tally(WHOLE)
    tally.note(SIZE, 0, 1, 2)
    tally.note(10, 0)
    assert figures(tally) == (10, 10, 0)
    tally.note(0, 0)
    assert figures(tally) == (0, 0, 0)
