"""What a pattern matches, of FIND and of `pirate ls`: files, by the names that they have anywhere.

It is a glob (``*``, ``?``, ``[...]``) on a whole name or on the last part of one, or else any
part of a name. The empty one matches everything.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence

from pirate.wire.catalog import Catalog
from pirate.wire.entries import Run

_WILD = re.compile(r"[*?[]")
# What a glob may match something else by. A set that is not closed is the characters that it has.
_LOOSE = re.compile(r"\[!?\]?[^]]*\]|[*?]")


class Pattern:
    """A pattern, ready to look through encoded entries."""

    def __init__(self, text: str) -> None:
        self.text = text
        glob = _WILD.search(text)
        self._fits = re.compile(fnmatch.translate(text)).match if glob else None
        # What is in every name that matches, as it is on the wire.
        certain = max(_LOOSE.split(text) if glob else [text], key=len)
        self._certain = certain.encode("utf-8", "surrogatepass")

    def matches(self, names: Iterable[str]) -> bool:
        """Whether one of these names does."""
        text, fits = self.text, self._fits
        for name in names:
            if (fits(name) or fits(name.rpartition("/")[2])) if fits else text in name:
                return True
        return False

    def digests(self, catalog: Catalog) -> Iterator[bytes]:
        """Those of the entries that match. What cannot match is not decoded."""
        for run in catalog.runs():
            for index in run.having(self._certain):
                if self.matches(run.names(index)):
                    yield run.digest(index)


def narrowed(catalogs: Sequence[Catalog], text: str) -> list[tuple[Run, ...]]:
    """Of each catalog the entries of those files that match ``text``, ascending.

    A file that matches by a name at one peer matches at all, whatever the others call it.
    """
    if not text:
        return [catalog.runs() for catalog in catalogs]
    pattern = Pattern(text)
    digests = {digest for catalog in catalogs for digest in pattern.digests(catalog)}
    return [catalog.only(digests) for catalog in catalogs]
