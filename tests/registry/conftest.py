from collections.abc import Iterator
from pathlib import Path

import pytest
from etcd_server import EtcdServer


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """A real etcd that the test may kill, freeze and wipe."""
    with EtcdServer(tmp_path) as server:
        yield server
