"""The campaign of scripts/campaigns/stop, short; and that it finds out who is careless."""

from pathlib import Path
from random import Random

import pytest
from campaigns.holders import Holders, Sample
from campaigns.killing import NAIVE
from campaigns.stopping import Stopping
from etcd_server import EtcdServer

SEED = 7
SECONDS = 10.0  # the promise is 2, on a machine that is not shared

# Who is careless is found out long before so many stops.


@pytest.fixture(name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unlike in ``tmp_path``, an unfinished download may stay behind."""
    return tmp_path_factory.mktemp("stopping")


@pytest.mark.parametrize(("naive", "stops"), [((), 6), ((*NAIVE, "forgetful"), 400)])
def test_a_get_that_is_stopped_goes_on_with_what_it_had_unless_it_forgets(
    folder: Path, naive: tuple[str, ...], stops: int
) -> None:
    with Holders(folder / "holders", [6_000_001], pause=0.005) as holders:
        stopping = Stopping(folder, Random(SEED), seconds=SECONDS, naive=naive)
        good = stopping.gets(holders, stops, most_wrong=1)
    assert good is not bool(naive), stopping.wrong


@pytest.mark.parametrize(("naive", "stops"), [((), 4), ((*NAIVE, "clinging"), 200)])
def test_a_server_that_is_stopped_withdraws_unless_it_clings(
    folder: Path, naive: tuple[str, ...], stops: int
) -> None:
    sample = Sample("served.bin", Random(SEED).randbytes(20_000_000))
    with EtcdServer(folder) as etcd:
        stopping = Stopping(folder, Random(SEED), seconds=SECONDS, naive=naive)
        good = stopping.servers(sample, etcd, stops, most_wrong=1)
    assert good is not bool(naive), stopping.wrong
