"""The campaign of scripts/campaigns/change, short; and that it finds out who is careless."""

from pathlib import Path
from random import Random

import pytest
from campaigns.changing import Changing
from campaigns.killing import NAIVE

SEED = 5
SIZE = 3_000_001


@pytest.fixture(name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unlike in ``tmp_path``, an unfinished download may stay behind."""
    return tmp_path_factory.mktemp("changing")


def test_a_file_that_changes_comes_as_it_was_or_not_at_all(folder: Path) -> None:
    with Changing(folder, SIZE, Random(SEED)) as changing:
        assert changing.run(5), changing.wrong
    assert changing.accepted == 0
    assert len(changing.changes) > 2


def test_a_server_that_does_not_look_and_a_get_that_does_not_check_are_found_out(
    folder: Path,
) -> None:
    naive = ((*NAIVE, "blind"), (*NAIVE, "trusting"))
    with Changing(folder, SIZE, Random(SEED), naive=naive) as changing:
        assert not changing.run(400, most_wrong=1)  # the first few, as a rule
    assert changing.accepted > 0
