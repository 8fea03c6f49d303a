"""The campaign of scripts/campaigns/stalls, short; a proxy plays the partition."""

from collections.abc import Iterator

import pytest
from campaigns.stalling import LONGEST_PAUSE, Fault, Stalling

MIB = 1024 * 1024


@pytest.fixture(name="stalling", scope="module")
def _stalling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stalling]:
    with Stalling(tmp_path_factory.mktemp("stalls"), 12 * MIB, "2M") as stalling:
        yield stalling


@pytest.mark.parametrize("fault", Fault, ids=[fault.value for fault in Fault])
def test_one_of_three_holders_that_falls_silent_holds_up_nothing(
    stalling: Stalling, fault: Fault
) -> None:
    run = stalling.among(fault, 0.5)
    assert (run.struck, run.wrong) == (True, "")
    assert run.pause < LONGEST_PAUSE


def test_the_only_holder_that_falls_silent_gives_way_to_another(stalling: Stalling) -> None:
    run = stalling.alone(Fault.STOPPED, 0.5)
    assert (run.struck, run.wrong) == (True, "")
    assert run.pause <= 2 * LONGEST_PAUSE  # the promise, on a machine that is not shared: half
