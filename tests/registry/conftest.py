from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from etcd3 import Endpoint, MultiEndpointEtcd3Client
from etcd_server import EtcdServer

from pirate.registry.etcd import EtcdRegistry


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """A real etcd that the test may kill, freeze and wipe."""
    with EtcdServer(tmp_path) as server:
        yield server


@pytest.fixture
def handles() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def ours(etcd: EtcdServer, handles: ExitStack) -> EtcdRegistry:
    return handles.enter_context(closing(EtcdRegistry((etcd.address,))))


@pytest.fixture
def operator(etcd: EtcdServer, handles: ExitStack) -> Any:
    """Somebody else with a client and no manners."""
    endpoint = Endpoint(*etcd.address, secure=False)
    return handles.enter_context(closing(MultiEndpointEtcd3Client([endpoint], timeout=20.0)))
