"""Where proven segments land: the part file, and the journal of what it holds."""

from collections.abc import Callable

from pirate.byterange import WHOLE, ByteRange
from pirate.chain import INITIAL, Chain, Link, length, segments, start
from pirate.disk.journal import Journal
from pirate.disk.partfile import PartFile
from pirate.disk.sha1 import Sha1
from pirate.errors import StoppedError
from pirate.model import Digest
from pirate.pages import pages


class Landing:
    """The files of one download, for one thread at a time. Every method may raise LocalIOError."""

    def __init__(self, part: PartFile, journal: Journal, asked: ByteRange = WHOLE) -> None:
        """Whoever holds the lock of ``part`` owns both; room is made for what is ``asked``."""
        self._part = part
        self._journal = journal
        self.asked = asked
        self._links: dict[int, Link] = {}  # what the part file holds
        self._size: int | None = None  # of the file that the journal is about, if it is current
        self.size: int | None = None  # of the file, once its last segment has proven it
        self.more = False  # whether an earlier run has left more than what is asked for

    def recover(self, chain: Chain, stopped: Callable[[], bool]) -> dict[int, Link]:
        """The segments that are here from before; all are of one size, maybe not the chain's.

        The journal is believed if it was written since the machine was started and nothing of
        it is missing; else the bytes are hashed again. Without one they are held against
        ``chain``. Raises StoppedError soon after ``stopped`` says so: there may be much to hash.
        """
        found = self._recover(chain, stopped)
        size = next((link.size for link in found.values()), 0)
        last = segments(size) - 1
        self.more = not found.keys() <= {*self.asked.segments(size), last}
        if last in found:
            self.size = size
            # A range may have left holes, and who knew no chain more than the file has.
            if self._part.allocated < size or self._part.size != size:
                self._reserve(size)
        return found

    def _recover(self, chain: Chain, stopped: Callable[[], bool]) -> dict[int, Link]:
        kept = self._journal.read()
        if kept:
            here = {index: link for index, link in kept.links.items() if self._there(index, link)}
            if kept.certain and len(here) == len(kept.links):
                self._links, self._size = here, kept.size
                return dict(here)
        else:
            links = ((index, chain.link(index)) for index in range(chain.count))
            here = {index: link for index, link in links if self._there(index, link)}
        proven = {}
        for index, link in here.items():
            if stopped():
                raise StoppedError("stopped")
            if self._proves(index, link):
                proven[index] = link
        self._links = proven
        return dict(proven)

    def put(self, chain: Chain, index: int, data: memoryview) -> None:
        """Write a segment that has proven its link; of a size that is new here, the last first.

        A size alone may be a lie, but the last segment holds it in its padding. Only then room
        is made for it, and the journal of another size given up.
        """
        link = chain.link(index)
        last = index == chain.count - 1
        proof = self._links.get(chain.count - 1)
        if not last and (proof is None or proof.size != chain.size):
            raise ValueError("a size that nothing has proven yet")
        if last:
            self._reserve(chain.size)
        if self._size != chain.size:
            self._links = {i: known for i, known in self._links.items() if known.size == chain.size}
            self._journal.begin(chain.size, self._links)
            self._size = chain.size
        if self._links.pop(index, link) != link:
            self._journal.forget(index)
        self._part.write(data, chain.start(index))
        self._journal.note(index, link)
        self._links[index] = link
        if last:
            self.size = chain.size

    def link(self, index: int) -> Link | None:
        """What a segment that is here proves. From any thread."""
        return self._links.get(index)

    def closed(self, digest: Digest) -> bool:
        """Whether all segments are here, and lead to ``digest``."""
        state, index = INITIAL, 0
        while (link := self._links.get(index)) and link.before == state:
            state, index = link.after, index + 1
            if index == segments(link.size):
                return state == digest
        return False

    def give_up(self) -> None:
        """Leave the part file to who fetches in order: what is proven of its beginning stays."""
        kept = self._journal.read()
        if kept:
            state, index = INITIAL, 0
            while (link := kept.links.get(index)) and link.before == state:
                state, index = link.after, index + 1
            self._part.truncate(min(start(kept.size, index), self._part.size))
        self._journal.remove()
        self._links, self._size, self.size = {}, None, None

    def _reserve(self, size: int) -> None:
        needed = self.asked.segments(size)
        self._part.reserve(size, start(size, needed.start), min(size, start(size, needed.stop)))

    def _there(self, index: int, link: Link) -> bool:
        """Whether the part file reaches as far as a segment does."""
        return index < segments(link.size) and (
            start(link.size, index) + length(link.size, index) <= self._part.size
        )

    def _proves(self, index: int, link: Link) -> bool:
        offset = start(link.size, index)
        segment = pages(length(link.size, index))
        self._part.read_into(segment, offset)
        sha1 = Sha1(link.before, offset)
        sha1.update(segment)
        last = index == segments(link.size) - 1
        return link.after == (sha1.digest() if last else sha1.state())
