"""What a range means: HTTP's words (RFC 9110, section 14), and the segments that it touches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pirate.byterange import WHOLE, ByteRange
from pirate.chain import LEAST_SEGMENT, length, segments, start
from pirate.errors import OutsideError, UsageError

SIZES = st.integers(0, 5 * LEAST_SEGMENT) | st.integers(0, 2**40)


@pytest.mark.parametrize(
    ("text", "within"),
    [
        ("0-0", (0, 1)),
        ("0-999", (0, 1000)),
        ("0-", (0, 1000)),
        ("10-19", (10, 20)),
        ("999-999", (999, 1000)),
        ("999-", (999, 1000)),
        ("990-5000", (990, 1000)),
        ("007-9", (7, 10)),
        ("-1", (999, 1000)),
        ("-1000", (0, 1000)),
        ("-5000", (0, 1000)),
    ],
)
def test_both_ends_are_included_and_what_lies_behind_the_end_is_cut_off(
    text: str, within: tuple[int, int]
) -> None:
    assert ByteRange.parse(text).within(1000) == within


@pytest.mark.parametrize("text", ["1000-", "1000-1000", "5000-9999999999999999999"])
def test_a_range_that_begins_behind_the_end_is_an_error_that_tells_the_size(text: str) -> None:
    with pytest.raises(OutsideError, match=f"{text} begins behind the end.* 1000 bytes") as raised:
        ByteRange.parse(text).within(1000)
    assert isinstance(raised.value, UsageError)
    assert not ByteRange.parse(text).segments(1000)


def test_of_an_empty_file_only_the_last_bytes_can_be_had_and_are_none() -> None:
    assert ByteRange.parse("-5").within(0) == (0, 0)
    with pytest.raises(OutsideError):
        ByteRange.parse("0-").within(0)


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "5", "a-b", "1-2-3", "--5", "1-2,4-5", "5-3", "-0", "+1-2", "1 - 2", " 1-2"),
        *("1-2\n", "0x1-2", "1K-2K", "bytes=0-1", "\u0661-\u0662", "1_0-2"),
        *("9" * 20 + "-", "9" * 9999 + "-"),
    ],
)
def test_all_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not A-B, A- or -N|has no bytes"):
        ByteRange.parse(text)


@pytest.mark.parametrize("text", ["0-0", "5-", "-7", "10-20"])
def test_it_is_shown_as_it_is_written(text: str) -> None:
    assert str(ByteRange.parse(text)) == text


@given(SIZES, st.integers(0, 2**40), st.integers(0, 2**40) | st.none())
def test_the_segments_that_it_touches_have_all_of_it_and_none_is_for_nothing(
    size: int, first: int, more: int | None
) -> None:
    asked = ByteRange(first, None if more is None else first + more)
    touched = asked.segments(size)
    if first >= size:
        assert not touched
        return
    begin, end = asked.within(size)
    assert begin < end <= size
    assert start(size, touched[0]) <= begin < start(size, touched[0]) + length(size, touched[0])
    assert start(size, touched[-1]) < end <= start(size, touched[-1]) + length(size, touched[-1])


@given(SIZES)
def test_the_whole_has_all_bytes_and_so_all_segments(size: int) -> None:
    assert WHOLE.within(size) == (0, size)
    assert {*WHOLE.segments(size), segments(size) - 1} == set(range(segments(size)))
