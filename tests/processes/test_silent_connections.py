"""A thousand connections that say nothing must not keep a real client out."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from honest import digest_of
from processes.network import fill
from processes.peers import LONG_SECONDS, Serving, pirate

from pirate.net.conversation import HELLO_SECONDS

SILENT = 1000
FEW_DESCRIPTORS = ("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh")
SMALL = b"small"


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Let this process have enough for its end of the connections."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * SILENT)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("hosts", [1, 250])
def test_a_get_among_a_thousand_silent_connections_is_not_kept_waiting(
    place: Path, hosts: int
) -> None:
    with Serving(fill(place / "shared", {"small": SMALL}), prefix=FEW_DESCRIPTORS) as server:
        with ExitStack() as stack:
            for number in range(SILENT):
                source = (f"127.0.1.{number % hosts + 1}", 0)
                silent = socket.create_connection(
                    server.address, LONG_SECONDS, source_address=source
                )
                stack.enter_context(silent)
            done = pirate("get", str(digest_of(SMALL)), "--peer", server.address, "-d", place)
            memory = server.resident_bytes()
        assert done.code == 0
        assert done.seconds < HELLO_SECONDS  # when the silent ones would be let go
        assert (place / "small").read_bytes() == SMALL
        assert memory < 64 * 1024 * 1024
