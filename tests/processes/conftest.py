import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from etcd_server import EtcdServer
from processes.network import Network


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder. Unlike in ``tmp_path``, an unfinished download may stay behind."""
    folder = tmp_path_factory.mktemp("place")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """A real etcd for all tests of one module."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="module")
def network(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two peers that share folders, and etcd, for all tests of one module."""
    with Network(etcd.address, tmp_path_factory.mktemp("network")) as running:
        yield running


@pytest.fixture(scope="session")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a file that takes a moment to send, and that file's SHA-1."""
    folder = tmp_path_factory.mktemp("big")
    sha1 = hashlib.sha1()
    piece = bytes(1024 * 1024)
    with (folder / "big.bin").open("wb") as file:
        for number in range(300):
            stamped = number.to_bytes(8, "big") + piece[8:]
            file.write(stamped)
            sha1.update(stamped)
    yield folder, sha1.hexdigest()
    (folder / "big.bin").unlink()
