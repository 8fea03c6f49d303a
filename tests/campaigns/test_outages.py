"""The campaign of scripts/campaigns/etcd, short: two of its faults, and a shorter lease."""

from collections.abc import Iterator

import pytest
from campaigns.outages import Fault, Outages


@pytest.fixture(name="outages", scope="module")
def _outages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    with Outages(tmp_path_factory.mktemp("outages"), ttl=4.0, download=5.0) as outages:
        yield outages


@pytest.mark.parametrize("fault", [Fault.KILLED, Fault.WIPED], ids=["killed", "wiped"])
def test_a_fault_of_the_cluster_neither_ends_a_download_nor_hides_a_peer(
    outages: Outages, fault: Fault
) -> None:
    run = outages.run(fault)
    assert run.wrong == ""
    assert run.visible < 20.0  # 3 s, on a machine with time
