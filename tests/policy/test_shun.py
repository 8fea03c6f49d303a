import pytest

from pirate.model import DEFAULT_PORT, Address, PeerId
from pirate.policy.shun import (
    FIRST_STRANGE_SECONDS,
    MOST_DEAD_SECONDS,
    MOST_DOUBTFUL,
    MOST_HOSTS,
    MOST_STRANGE_SECONDS,
    Outcome,
    Shun,
    Verdict,
)

ANNE = PeerId(b"a" * 16)
BONNY = PeerId(b"b" * 16)
TARGET = Address("10.0.0.7", 80)


class Rig:
    """A Shun and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.shun = Shun(lambda: self.now)

    def judge(self, wanted: PeerId = ANNE, target: Address = TARGET) -> Verdict:
        return self.shun.judge(target, wanted)

    def dial(
        self,
        outcome: Outcome,
        met: PeerId | None = None,
        *,
        wanted: PeerId = ANNE,
        target: Address = TARGET,
    ) -> None:
        assert self.judge(wanted, target) is Verdict.GO
        self.shun.begin(target)
        self.shun.end(target, outcome, met=met, wanted=wanted)

    def dials(self, outcome: Outcome, seconds: float) -> int:
        """How often the target is dialled by somebody who wants to all the time."""
        count, end = 0, self.now + seconds
        while self.now < end:
            if self.judge() is Verdict.GO:
                self.dial(outcome)
                count += 1
            self.now += 0.125
        return count


@pytest.fixture(name="rig")
def _rig() -> Rig:
    return Rig()


def test_a_target_is_dialled_once_at_a_time(rig: Rig) -> None:
    rig.shun.begin(TARGET)
    assert rig.judge() is Verdict.WAIT
    assert rig.shun.busy(TARGET)
    rig.shun.end(TARGET, Outcome.UNTRIED)
    assert rig.judge() is Verdict.GO
    assert not rig.shun.busy(TARGET)


def test_what_answers_and_never_was_a_pirate_is_dialled_once_in_five_minutes(rig: Rig) -> None:
    assert rig.dials(Outcome.STRANGE, MOST_STRANGE_SECONDS) == 1
    assert rig.judge() is Verdict.GO


def test_what_was_a_pirate_is_looked_at_again_soon_and_then_ever_later(rig: Rig) -> None:
    rig.dial(Outcome.PIRATE, ANNE)
    rig.dial(Outcome.STRANGE)
    assert rig.judge() is Verdict.STRANGE
    rig.now += FIRST_STRANGE_SECONDS
    assert rig.dials(Outcome.STRANGE, MOST_STRANGE_SECONDS) == 8
    assert rig.dials(Outcome.STRANGE, 10 * MOST_STRANGE_SECONDS) <= 11
    rig.now += MOST_STRANGE_SECONDS
    rig.dial(Outcome.PIRATE, ANNE)
    assert rig.judge() is Verdict.GO


def test_a_dead_one_is_found_again_soon(rig: Rig) -> None:
    assert rig.dials(Outcome.DEAD, 3600) <= 3600 / MOST_DEAD_SECONDS + 5
    assert rig.judge() is Verdict.DEAD
    rig.now += MOST_DEAD_SECONDS
    rig.dial(Outcome.PIRATE, ANNE)
    rig.dial(Outcome.DEAD)
    rig.now += 0.25
    assert rig.judge() is Verdict.GO


def test_where_another_peer_is_only_that_one_is_dialled_for_a_while(rig: Rig) -> None:
    rig.dial(Outcome.PIRATE, BONNY)
    assert rig.judge(ANNE) is Verdict.OTHER
    assert rig.judge(BONNY) is Verdict.GO
    rig.dial(Outcome.PIRATE, BONNY, wanted=BONNY)
    assert rig.judge(ANNE) is Verdict.OTHER
    rig.now += FIRST_STRANGE_SECONDS
    rig.dial(Outcome.PIRATE, BONNY)
    rig.now += FIRST_STRANGE_SECONDS
    assert rig.judge(ANNE) is Verdict.OTHER


def test_a_peer_that_has_come_back_under_another_id_is_dialled_at_once(rig: Rig) -> None:
    rig.dial(Outcome.PIRATE, ANNE)
    rig.dial(Outcome.PIRATE, BONNY, wanted=BONNY)
    assert rig.judge(BONNY) is Verdict.GO


def test_one_that_refuses_us_is_a_pirate(rig: Rig) -> None:
    rig.dial(Outcome.PIRATE)
    assert rig.judge() is Verdict.GO


def test_of_one_host_only_some_targets_are_tried_until_one_is_a_pirate(rig: Rig) -> None:
    tried = 0
    for port in range(1, 1001):
        target = Address("10.0.0.7", port)
        if rig.judge(target=target) is Verdict.GO:
            tried += 1
            rig.dial(Outcome.DEAD, target=target)
    assert tried == MOST_DOUBTFUL
    assert rig.judge(target=Address("10.0.0.7", 2000)) is Verdict.CROWDED
    assert rig.judge(target=Address("10.0.0.8", 2000)) is Verdict.GO
    assert rig.judge(target=Address("10.0.0.7", DEFAULT_PORT)) is Verdict.GO
    rig.now += MOST_STRANGE_SECONDS
    assert rig.judge(target=Address("10.0.0.7", 2000)) is Verdict.GO


def test_a_host_with_many_pirates_is_dialled_a_few_at_a_time(rig: Rig) -> None:
    targets = [Address("10.0.0.7", port) for port in range(1, 101)]
    for target in targets[:MOST_DOUBTFUL]:
        rig.shun.begin(target)
    assert rig.judge(target=targets[50]) is Verdict.WAIT
    for target in targets[:MOST_DOUBTFUL]:
        rig.shun.end(target, Outcome.PIRATE, met=ANNE, wanted=ANNE)
    for target in targets:
        rig.dial(Outcome.PIRATE, ANNE, target=target)


def test_a_target_whose_turn_never_came_leaves_no_trace(rig: Rig) -> None:
    for port in range(1, 100):
        rig.dial(Outcome.UNTRIED, target=Address("10.0.0.7", port))
    assert rig.judge(target=Address("10.0.0.7", 100)) is Verdict.GO


def test_hosts_are_forgotten_before_they_fill_the_memory(rig: Rig) -> None:
    for number in range(2 * MOST_HOSTS):
        rig.dial(Outcome.DEAD, target=Address(f"10.{number}", 80))
        rig.now += 1.0
    assert len(rig.shun._hosts) <= MOST_HOSTS + 1
