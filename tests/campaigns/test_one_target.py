"""The campaign of scripts/campaigns/rivals, short."""

from random import Random

import pytest
from campaigns.holders import Holders
from campaigns.rivals import Rivals


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_at_once_and_the_winner_is_killed(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    root = tmp_path_factory.mktemp("one")
    with Holders(root / "holders", [5_000_000], pause=0.03) as holders:
        rivals = Rivals(holders, root, Random(seed))
        assert rivals.run(1, starts=20), rivals.wrong
    assert rivals.files == 1
    assert rivals.ends.total() == 20
    assert rivals.ends["busy"] > 0
