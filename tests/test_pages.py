import ctypes
import mmap

import pytest

from pirate.pages import pages


@pytest.mark.parametrize("count", [1, mmap.PAGESIZE, 256 * 1024 + 1])
def test_memory_begins_with_a_page_and_is_as_long_as_it_is_wanted(count: int) -> None:
    view = pages(count)
    assert len(view) == count
    assert ctypes.addressof(ctypes.c_char.from_buffer(view)) % mmap.PAGESIZE == 0
    view[-1] = 7
    assert bytes(view[-1:]) == b"\7"


def test_no_memory_is_none() -> None:
    assert len(pages(0)) == 0
