"""The campaign of scripts/campaigns/kill, short; and that it finds out who is careless."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from campaigns.holders import Holders
from campaigns.killing import NAIVE, Killing

SEED = 3


@pytest.fixture(name="holders", scope="module")
def _holders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holders]:
    folder = tmp_path_factory.mktemp("holders")
    with Holders(folder, [12_345_678, 9_000_001], count=2) as holders:
        yield holders


@pytest.fixture(name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unlike in ``tmp_path``, an unfinished download may stay behind."""
    return tmp_path_factory.mktemp("killed")


def test_a_get_that_is_killed_and_run_again_fetches_nothing_twice(
    holders: Holders, folder: Path
) -> None:
    killing = Killing(holders, folder, Random(SEED))
    assert killing.run(15), killing.wrong
    assert killing.total >= 15
    assert killing.again == 0
    assert len(killing.states) > 2  # they came at different instants


@pytest.mark.parametrize("variant", ["early", "forgetful", "hasty"])
def test_a_careless_get_is_found_out(holders: Holders, folder: Path, variant: str) -> None:
    killing = Killing(holders, folder, Random(SEED), [*NAIVE, variant])
    assert not killing.run(400, most_wrong=1)  # the first few kills, as a rule
