"""Who fetches which segment next: a pure plan, which threads share under one lock.

What it weighs, in this order: only bytes that prove a link under the claim that their sender
vouched for are kept; nobody is asked for what is there or on its way; a claim is put to the
test before anything else is fetched under it; a slow or silent holder never keeps a segment to
itself; a holder that fails takes nothing with it.

Holders of one digest state a size and a chain: a *claim*. Honest ones state the same. A
segment that does not prove its link convicts the holder that sent it, whichever of the two was
the lie, and claims are never mixed: but for tests, only the holders of the active one are
asked.

The *tests* of a claim are its last segment, which proves the size, and then, where claims
disagree, the telling segments: those where two chains start apart and end together, of which
only one can be true. A false claim fails one, so it dies after one segment, and its holders
are asked for nothing else until then. Claims are tested side by side, each where its link is its
own; a link that several share is fetched once, for all of them. So a false one that dawdles
holds up no other for longer than until it is late. The first to pass becomes active. When it
has nobody left the next one does; links that both share stay proven.
"""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field

from pirate.chain import Chain, Link, telling_segments

# A segment on its way is asked for once more when it is late: later than this many times what
# the idle holder needs for one, and at least this many seconds.
PATIENCE = 2.0
LEAST_PATIENCE = 0.05

# What a holder is thought to need for a segment, in seconds, until it has sent one. Little, as
# several that are silent may have been asked for the first segment, one after the other.
FIRST_GUESS = 0.1

Holder = Hashable

# What has been asked for and not come: when, of whom. Links know no claims.
_Flying = dict[tuple[int, Link], dict[Holder, float]]

# In which order the segments of a claim are asked for. The tests have to be proven before any
# that follow them; those that would take the place of what another chain has proven come last.
_LAST, _TELLING, _REST, _OVERWRITING = range(4)


@dataclass(slots=True)
class _Pace:
    """How fast a holder sends: seconds a segment, a moving average."""

    seconds: float = FIRST_GUESS
    known: bool = False

    def note(self, seconds: float) -> None:
        self.seconds = (self.seconds + seconds) / 2 if self.known else seconds
        self.known = True


@dataclass(slots=True, eq=False)
class _Claim:
    """A chain, those who vouch for it, and what of it is not proven."""

    chain: Chain
    missing: set[int]
    flying: _Flying  # the plan's
    holders: dict[Holder, _Pace] = field(default_factory=dict)
    telling: set[int] = field(default_factory=set)  # of the missing ones
    idle: list[tuple[int, int]] = field(default_factory=list)  # a heap; may hold others too

    @property
    def stage(self) -> int:
        """The last stage whose segments may be asked for now."""
        if self.chain.count - 1 in self.missing:
            return _LAST
        return _TELLING if self.telling else _OVERWRITING

    def has(self, index: int, link: Link) -> bool:
        """Whether it says that a segment proves ``link``."""
        return index < self.chain.count and self.chain.link(index) == link

    def stage_of(self, index: int) -> int:
        """When a segment's turn is; later if it would take the place of a proven one."""
        if index == self.chain.count - 1:
            return _LAST
        return _TELLING if index in self.telling else _REST

    def sort(self, proven: dict[int, Link]) -> None:
        """Put the missing segments in order."""
        self.idle = []
        for index in self.missing:
            stage = self.stage_of(index)
            self.idle.append((_OVERWRITING if stage == _REST and index in proven else stage, index))
        heapq.heapify(self.idle)

    def settle(self, index: int, link: Link) -> None:
        """Note that the bytes of a segment prove ``link`` now, whether it is ours or not."""
        if self.chain.link(index) == link:
            self.missing.discard(index)
            self.telling.discard(index)
        elif index not in self.missing:
            self.missing.add(index)
            heapq.heappush(self.idle, (_OVERWRITING, index))

    def miss_again(self, index: int, link: Link) -> None:
        """Nobody is asked for ``link`` any more."""
        if index in self.missing and self.chain.link(index) == link:
            heapq.heappush(self.idle, (self.stage_of(index), index))

    def next(self) -> int | None:
        """A segment that nobody has been asked for, if it is the turn of one."""
        while self.idle:
            stage, index = self.idle[0]
            idle = index in self.missing and (index, self.chain.link(index)) not in self.flying
            if idle and stage > self.stage:
                return None
            heapq.heappop(self.idle)
            if idle:
                return index
        return None

    def late(self, holder: Holder, now: float) -> int | None:
        """The segment that others have owed longest, if ``holder`` would be sooner."""
        patience = max(LEAST_PATIENCE, PATIENCE * self.holders[holder].seconds)
        late = [
            (min(asked.values()), index)
            for (index, link), asked in self.flying.items()
            if holder not in asked
            and now - max(asked.values()) > patience
            and self.stage_of(index) <= self.stage
            and self.chain.link(index) == link
        ]
        return min(late)[1] if late else None


class Plan:
    """Not thread-safe: its owner calls it under a lock, with the time of a monotonic clock."""

    def __init__(self, proven: dict[int, Link]) -> None:
        """``proven``: the links of segments that are on disk from before, of one size."""
        self._proven = dict(proven)
        self._claims: dict[Chain, _Claim] = {}
        self._vouched: dict[Holder, _Claim] = {}  # also of holders that have left
        self._flying: _Flying = {}
        self._active: _Claim | None = None
        self._done = False

    @property
    def done(self) -> bool:
        """Whether a chain is closed: the file is proven."""
        return self._done

    @property
    def stranded(self) -> bool:
        """Whether nobody is left who could be asked."""
        return not self._done and not any(claim.holders for claim in self._claims.values())

    def doubted(self, index: int, link: Link) -> set[Holder]:
        """Who vouched for ``link``, if the claim that is active says otherwise; else nobody."""
        if self._active is None or self._active.has(index, link):
            return set()
        return {holder for holder, claim in self._vouched.items() if claim.has(index, link)}

    def join(self, holder: Holder, chain: Chain) -> None:
        """A holder vouches for ``chain``."""
        claim = self._claims.get(chain)
        if claim is None:
            claim = self._claims[chain] = _Claim(chain, self._missing(chain), self._flying)
            self._done = self._done or not claim.missing
        self._vouched[holder] = claim
        claim.holders.setdefault(holder, _Pace())
        if len(claim.holders) == 1:
            self._contest()

    def take(self, holder: Holder, now: float) -> int | None:
        """The segment that ``holder`` is asked for next; None if there is none for it now."""
        claim = self._vouched.get(holder)
        if self._done or claim is None or holder not in claim.holders:
            return None
        if self._active is None and claim.stage > _TELLING:
            self._active = claim
        if self._active not in {None, claim}:
            return None
        index = claim.next()
        if index is None:
            index = claim.late(holder, now)
        if index is not None:
            self._flying.setdefault((index, claim.chain.link(index)), {})[holder] = now
        return index

    def wanted(self, index: int, chain: Chain) -> bool:
        """Whether a segment fetched under ``chain`` is still to be written."""
        claim = self._active or self._claims.get(chain)
        if self._done or claim is None or index not in claim.missing:
            return False
        return claim.chain.link(index) == chain.link(index)

    def prove(self, holder: Holder, index: int, now: float) -> None:
        """``index`` has proven its link of the chain that ``holder`` vouched for, is written."""
        claim = self._vouched[holder]
        link = claim.chain.link(index)
        since = self._flying.pop((index, link), {}).get(holder)
        if since is not None and holder in claim.holders:
            claim.holders[holder].note(now - since)
        if next(iter(self._proven.values()), link).size != link.size:
            self._start_over()
        self._proven[index] = link
        for each in self._claims.values():
            if each.chain.size == link.size:
                each.settle(index, link)
                self._done = self._done or not each.missing

    def leave(self, holder: Holder) -> None:
        """Ask ``holder`` for nothing more; what it was asked for is missing again."""
        claim = self._vouched.get(holder)
        if claim is None or claim.holders.pop(holder, None) is None:
            return
        for (index, link), asked in list(self._flying.items()):
            if asked.pop(holder, None) is not None and not asked:
                del self._flying[index, link]
                for each in self._claims.values():
                    each.miss_again(index, link)
        if not claim.holders:
            self._contest()

    def _start_over(self) -> None:
        """What was proven was cut for another size, and is about to be written over."""
        self._proven.clear()
        for claim in self._claims.values():
            claim.missing = self._missing(claim.chain)
        self._contest()

    def _missing(self, chain: Chain) -> set[int]:
        missing = set(range(chain.count))
        return missing - {
            index
            for index, link in self._proven.items()
            if link.size == chain.size and link == chain.link(index)
        }

    def _contest(self) -> None:
        """Holders of a claim have come or gone: see what tells those that are left apart."""
        claims = [claim for claim in self._claims.values() if claim.holders]
        for claim in claims:
            others = (other.chain for other in claims if other is not claim)
            telling = {index for other in others for index in telling_segments(claim.chain, other)}
            claim.telling = telling & claim.missing
            claim.sort(self._proven)
        if self._active and (not self._active.holders or self._active.stage <= _TELLING):
            self._active = None
