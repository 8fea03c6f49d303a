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

Where not all of a file is *needed*, the tests are fetched beside what is, and of the telling
segments only one for each pair of claims: who proves it has refuted the other.
"""

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from pirate.byterange import WHOLE
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
    needed: frozenset[int]  # with the last segment
    flying: _Flying  # the plan's
    missing: set[int] = field(default_factory=set)  # of the needed and the telling ones
    holders: dict[Holder, _Pace] = field(default_factory=dict)
    telling: set[int] = field(default_factory=set)  # those of the missing ones
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

    @property
    def proven(self) -> bool:
        """Whether nothing is missing; what is no closed chain needs somebody who vouches for it."""
        return not self.missing and (len(self.needed) == self.chain.count or bool(self.holders))

    def settle(self, index: int, link: Link) -> None:
        """Note that the bytes of a segment prove ``link`` now, whether it is ours or not."""
        if self.chain.link(index) == link:
            self.missing.discard(index)
            self.telling.discard(index)
        elif index in self.needed and index not in self.missing:
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
            and index in self.missing
            and self.chain.link(index) == link
        ]
        return min(late)[1] if late else None


class Plan:
    """Not thread-safe: its owner calls it under a lock, with the time of a monotonic clock."""

    def __init__(
        self, proven: dict[int, Link], needed: Callable[[int], range] = WHOLE.segments
    ) -> None:
        """``proven``: the links of segments that are on disk from before, of one size.

        ``needed`` gives the segments that are fetched of a file of some size.
        """
        self._proven = dict(proven)
        self._needed = needed
        self._claims: dict[Chain, _Claim] = {}
        self._vouched: dict[Holder, _Claim] = {}  # also of holders that have left
        self._flying: _Flying = {}
        self._active: _Claim | None = None
        self._done = False

    @property
    def done(self) -> bool:
        """Whether all that is needed is proven; if that is the whole, a chain is closed."""
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
            needed = frozenset(self._needed(chain.size)) | {chain.count - 1}
            claim = self._claims[chain] = _Claim(chain, needed, self._flying)
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
                self._done = self._done or each.proven

    def waste(self, holder: Holder, index: int) -> None:
        """What ``holder`` has sent was not wanted; it may be one day."""
        self._ask_no_more(holder, index, self._vouched[holder].chain.link(index))

    def leave(self, holder: Holder) -> None:
        """Ask ``holder`` for nothing more; what it was asked for is missing again."""
        claim = self._vouched.get(holder)
        if claim is None or claim.holders.pop(holder, None) is None:
            return
        for index, link in list(self._flying):
            self._ask_no_more(holder, index, link)
        if not claim.holders:
            self._contest()

    def _ask_no_more(self, holder: Holder, index: int, link: Link) -> None:
        asked = self._flying.get((index, link), {})
        if asked.pop(holder, None) is not None and not asked:
            del self._flying[index, link]
            for each in self._claims.values():
                each.miss_again(index, link)

    def _start_over(self) -> None:
        """What was proven was cut for another size, and is about to be written over."""
        self._proven.clear()
        for claim in self._claims.values():
            claim.missing = self._missing(claim)
        self._contest()

    def _missing(self, claim: _Claim) -> set[int]:
        """What is needed under a claim and not proven."""
        chain = claim.chain
        return set(claim.needed).difference(
            index
            for index, link in self._proven.items()
            if link.size == chain.size and link == chain.link(index)
        )

    def _telling(self, claim: _Claim, rival: _Claim) -> set[int]:
        """What is to be proven to refute a rival: all that tells, or one if not all is needed.

        Of the two claims it is the same one.
        """
        telling = telling_segments(claim.chain, rival.chain)
        if len(claim.needed) < claim.chain.count:
            telling = sorted(telling, key=lambda index: (index not in claim.needed, index))[:1]
        return {i for i in telling if self._proven.get(i) != claim.chain.link(i)}

    def _contest(self) -> None:
        """Holders of a claim have come or gone: see what tells those that are left apart."""
        claims = [claim for claim in self._claims.values() if claim.holders]
        for claim in claims:
            claim.missing = self._missing(claim)
            rivals = (rival for rival in claims if rival is not claim)
            claim.telling = set[int]().union(*(self._telling(claim, rival) for rival in rivals))
            claim.missing |= claim.telling
            claim.sort(self._proven)
        if self._active and (not self._active.holders or self._active.stage <= _TELLING):
            self._active = None
        self._done = self._done or any(claim.proven for claim in claims)
