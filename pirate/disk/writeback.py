"""Tell the disk to begin: what is written early need not be waited for at the end."""

import ctypes
import functools
from collections.abc import Callable

# SYNC_FILE_RANGE_WRITE of sync_file_range(2): begin with what is dirty, and do not wait.
_BEGIN = 2


def begin_writing(file: int) -> None:
    """Have all of an open file that is not on the disk yet begin its way there.

    It is no promise, and may do nothing: durability is fsync's.
    """
    _sync_file_range()(file, 0, 0, _BEGIN)


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int]:
    """Linux's call; where there is none, nothing."""
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return lambda *_: 0
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return function
