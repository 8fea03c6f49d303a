"""Memory in whole pages, for what the kernel copies in.

Some processors (AMD's Zen 3 and 4) copy at a quarter of their speed if the target lies a few
bytes behind the source, as counted from the beginnings of their pages. Files lie in the page
cache from the beginning of a page on, and large objects of Python 16 or 32 bytes behind one.
"""

import mmap


def pages(count: int) -> memoryview:
    """So many bytes, which are taken page by page when they are first written to."""
    return memoryview(mmap.mmap(-1, max(1, count), mmap.MAP_PRIVATE))[:count]
