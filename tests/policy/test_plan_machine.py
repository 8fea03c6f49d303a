"""The plan against a model that is naive on purpose, in a world of honest holders and liars."""

from dataclasses import dataclass, field

from chains import false_chain, invented_chain
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pirate.byterange import ByteRange
from pirate.chain import Chain, Link
from pirate.policy.plan import LEAST_PATIENCE, Plan

TRUE = invented_chain(6)
LAST = TRUE.count - 1
CHAINS = [
    TRUE,
    false_chain(TRUE, {3}),
    false_chain(TRUE, {2, 3, 5}),
    false_chain(TRUE, {1, 2, 3, 4, 5}),
    Chain(TRUE.digest, TRUE.size - 1, TRUE.states),
    Chain(TRUE.digest, TRUE.size + 1, TRUE.states + TRUE.digest),
]


def provable(chain: Chain, index: int) -> bool:
    """Whether bytes can be had that prove a link: not if it leads back from a lie to the truth.

    A liar may invent bytes first and the chain after them, up to where it has to rejoin.
    """
    ours = chain.link(index)
    if chain.size != TRUE.size:
        return index != chain.count - 1
    true = TRUE.link(index)
    return ours == true or ours.after != true.after


def trials_of(chain: Chain, live: list[Chain]) -> list[set[int]]:
    """The last segment, then those where another chain of this size rejoins."""
    telling = {
        index
        for other in live
        for index in range(chain.count)
        if other.size == chain.size
        and other.link(index).before != chain.link(index).before
        and other.link(index).after == chain.link(index).after
    }
    return [{chain.count - 1}, telling]


@dataclass(eq=False)
class Holder:
    chain: Chain
    garbles: bool  # vouches for the chain, and sends other bytes
    asked: list[int] = field(default_factory=list)


class Swarm(RuleBasedStateMachine):
    """Bytes come whenever it pleases the rules, so everybody is slow at times."""

    def __init__(self) -> None:
        super().__init__()
        self.disk: dict[int, Link] = {}
        self.plan = self.new_plan()
        self.seen: set[Chain] = set()
        self.holders: list[Holder] = []
        self.dropped: list[Holder] = []
        self.asked_at: dict[tuple[int, Link], dict[Holder, float]] = {}
        self.now = 0.0
        self.finished = False

    def new_plan(self) -> Plan:
        return Plan(self.disk)

    def trials(self, chain: Chain) -> list[set[int]]:
        """The tests of a chain among those of the holders that are left, in order."""
        return trials_of(chain, [other.chain for other in self.holders])

    def passed(self, chain: Chain, index: int) -> bool:
        """Whether a test is certainly not asked for any more."""
        return self.disk.get(index) == chain.link(index)

    def needs(self, chain: Chain, index: int) -> bool:
        """Whether a segment is needed beside the tests."""
        return index < chain.count

    @rule(indices=st.sets(st.integers(0, LAST)), chain=st.sampled_from(CHAINS[:2]))
    @precondition(lambda self: not self.seen)
    def resume(self, indices: set[int], chain: Chain) -> None:
        self.disk = {index: chain.link(index) for index in indices if provable(chain, index)}
        self.plan = self.new_plan()
        self._look_whether_finished()

    @rule(chain=st.sampled_from(CHAINS), garbles=st.booleans())
    def join(self, chain: Chain, *, garbles: bool) -> None:
        self._join(Holder(chain, garbles))

    @rule()
    def join_in_honesty(self) -> None:
        self._join(Holder(TRUE, garbles=False))

    def _join(self, holder: Holder) -> None:
        self.plan.join(holder, holder.chain)
        self.holders.append(holder)
        self.seen.add(holder.chain)
        self._look_whether_finished()

    @precondition(lambda self: bool(self.holders))
    @rule(data=st.data(), times=st.integers(1, 4))
    def ask(self, data: st.DataObject, times: int) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        for _ in range(times):
            self._ask(holder)

    def _ask(self, holder: Holder) -> int | None:
        index = self.plan.take(holder, self.now)
        if index is None:
            return None
        chain = holder.chain
        assert not self.finished
        assert self.disk.get(index) != chain.link(index), "it is proven"
        others = self.asked_at.setdefault((index, chain.link(index)), {})
        assert holder not in others, "asked twice of one holder"
        assert all(self.now - at > LEAST_PATIENCE for at in others.values()), "not late"
        for tests in self.trials(chain):
            if index in tests:
                break
            assert all(self.passed(chain, i) for i in tests), "a test has to be passed first"
        else:
            assert self.needs(chain, index), "it is needed for nothing"
            honest = any(other.chain == TRUE for other in self.holders)
            assert chain == TRUE or not honest, "a lie got further than its test"
        others[holder] = self.now
        holder.asked.append(index)
        return index

    @precondition(lambda self: any(holder.asked for holder in self.holders))
    @rule(data=st.data())
    def receive(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from([each for each in self.holders if each.asked]))
        index = holder.asked.pop(0)
        if holder.garbles or not provable(holder.chain, index):
            self._drop(holder)
        else:
            self._land(holder, index)

    @precondition(lambda self: any(holder.asked for holder in self.dropped))
    @rule(data=st.data())
    def receive_what_was_being_written_when_its_holder_was_dropped(
        self, data: st.DataObject
    ) -> None:
        holder = data.draw(st.sampled_from([each for each in self.dropped if each.asked]))
        index = holder.asked.pop(0)
        if not holder.garbles and provable(holder.chain, index):
            self._land(holder, index)

    def _land(self, holder: Holder, index: int) -> None:
        link = holder.chain.link(index)
        if not self.plan.wanted(index, holder.chain):
            claims = {each.chain for each in self.holders}
            true = link == TRUE.link(index) and TRUE in claims
            assert (
                self.finished
                or self.disk.get(index) == link
                or (claims != {holder.chain} and not true)
                or not self.needs(holder.chain, index)
            ), "what was asked for is thrown away"
            self.plan.waste(holder, index)
            self.asked_at.get((index, link), {}).pop(holder, None)
            return
        assert self.disk.get(index) != link, "written twice"
        if any(known.size != link.size for known in self.disk.values()):
            self.disk = {}
        self.disk[index] = link
        self.plan.prove(holder, index, self.now)
        self.asked_at.pop((index, link), None)
        self._look_whether_finished()

    @precondition(lambda self: bool(self.holders))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self._drop(data.draw(st.sampled_from(self.holders)))

    def _drop(self, holder: Holder) -> None:
        self.plan.leave(holder)
        self.holders.remove(holder)
        self.dropped.append(holder)
        for asked in self.asked_at.values():
            asked.pop(holder, None)

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    def _look_whether_finished(self) -> None:
        self.finished = self.finished or any(
            self.disk == {index: chain.link(index) for index in range(chain.count)}
            for chain in self.seen
        )

    @invariant()
    def it_is_done_when_a_chain_is_closed_and_never_by_a_lie(self) -> None:
        assert self.plan.done == self.finished
        if self.finished:
            assert self.disk == {index: TRUE.link(index) for index in range(TRUE.count)}

    @invariant()
    def it_is_stranded_when_nobody_is_left(self) -> None:
        assert self.plan.stranded == (not self.finished and not self.holders)

    def teardown(self) -> None:
        """One honest holder suffices, while nobody else sends another byte."""
        last = Holder(TRUE, garbles=False)
        self._join(last)
        for _ in range(3 * TRUE.count):
            index = self._ask(last)
            if index is None:
                self.now += 3.0
            else:
                self._land(last, index)
        self.it_is_done_when_a_chain_is_closed_and_never_by_a_lie()
        assert self.plan.done


TestSwarm = Swarm.TestCase


ASKED = ByteRange(TRUE.start(1) + 1, TRUE.start(2))


class SwarmForARange(Swarm):
    """Segments 1 and 2 are needed."""

    def __init__(self) -> None:
        self.ever: set[tuple[int, Link]] = set()  # what has been proven, if not still is
        super().__init__()

    def new_plan(self) -> Plan:
        return Plan(self.disk, ASKED.segments)

    def trials(self, chain: Chain) -> list[set[int]]:
        """The last segment, then one for each rival: the first that is needed, or the first."""
        picks = set()
        for other in {holder.chain for holder in self.holders} - {chain}:
            telling = trials_of(chain, [other])[1]
            needed = {index for index in telling if self.needs(chain, index)}
            picks |= set(sorted(needed or telling)[:1])
        return [{chain.count - 1}, picks]

    def passed(self, chain: Chain, index: int) -> bool:
        return (index, chain.link(index)) in self.ever

    def needs(self, chain: Chain, index: int) -> bool:
        return index in {1, 2, chain.count - 1}

    def _look_whether_finished(self) -> None:
        self.ever |= set(self.disk.items())
        if self.plan.done and not self.finished:
            assert any(
                self._has(chain, {1, 2, chain.count - 1})
                and all(self.passed(chain, index) for test in self.trials(chain) for index in test)
                for chain in {holder.chain for holder in self.holders}
            ), "done too early"
        self.finished = self.finished or self.plan.done

    def _has(self, chain: Chain, indices: set[int]) -> bool:
        return all(self.disk.get(index) == chain.link(index) for index in indices)

    def _drop(self, holder: Holder) -> None:
        super()._drop(holder)
        self._look_whether_finished()

    @invariant()
    def it_is_done_when_a_chain_is_closed_and_never_by_a_lie(self) -> None:
        for chain in {holder.chain for holder in self.holders}:
            if self._has(chain, {1, 2}.union(*self.trials(chain))):
                assert self.plan.done, "done too late"

    def teardown(self) -> None:
        before = self.finished
        super().teardown()
        assert before or self._has(TRUE, {1, 2, LAST})


TestSwarmForARange = SwarmForARange.TestCase
