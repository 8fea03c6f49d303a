"""What answers at an address may be no peer at all: one line, the right code, and no growth."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from evil import Babbler, glutton, http, late_ghost, mute
from fake import Behaviour, Fake, Line
from honest import digest_of, some_bytes
from processes.network import fill
from processes.peers import LONG_SECONDS, Serving, command, environment, nobody, one_line, pirate

from pirate.net.conversation import HELLO_SECONDS

CONTENT = some_bytes(100_000)
SHA1 = str(digest_of(CONTENT))

# What `pirate get` needs without any peer is about half of it.
MOST_MEMORY = 64 * 1024 * 1024

# The name of an HTTP request, and a HELLO that claims 4 GiB.
HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
FOUR_GIB = struct.pack(">HBBII", 0x9E70, 0x01, 1, 0, 0xFFFF_FFFF)


def claims_4_gib(line: Line) -> None:
    line.send(FOUR_GIB)
    line.hold()


STRANGE = {
    "HTTP": http,
    "4 GiB": claims_4_gib,
    "random bytes": Babbler(),
    "random bytes after hello": Babbler(politely=True),
    "closes": late_ghost,
}


# A process counts what it shared with its parent when it was forked: this one is small.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def memory_of(*arguments: object) -> int:
    """The most memory that a command has at any time, in bytes."""
    measured = [sys.executable, "-c", MEASURE, *command(*arguments)]
    return int(subprocess.run(measured, capture_output=True, env=environment(), check=True).stdout)


@pytest.mark.parametrize("behaviour", STRANGE.values(), ids=STRANGE.keys())
@pytest.mark.parametrize("asking", ["get", "info", "ls", "peers"])
def test_a_port_that_is_no_peer_gives_one_line_and_exit_code_4(
    asking: str, behaviour: Behaviour, place: Path
) -> None:
    words = [asking, SHA1] if asking in {"get", "info"} else [asking]
    with Fake(behaviour) as strange:
        done = pirate(*words, "--peer", strange.address, "-q", cwd=place)
        assert strange.seconds < HELLO_SECONDS
    assert (done.code, done.out) == (4, "")
    assert one_line(done, "no_network")
    assert list(place.iterdir()) == []


def test_a_peer_that_is_not_there_gives_one_line_that_names_it(place: Path) -> None:
    there = nobody()
    done = pirate("get", SHA1, "--peer", there, cwd=place)
    assert done.code == 4
    assert one_line(done, "no_network")
    assert f"{there} cannot be asked: connection refused" in done.err


def test_a_host_that_does_not_exist_gives_one_line(place: Path) -> None:
    done = pirate("get", SHA1, "--peer", "no such host:7070", cwd=place)
    assert done.code == 4
    assert one_line(done, "no_network")


def test_a_silent_port_ends_by_the_deadline(place: Path) -> None:
    with Fake(mute) as silent:
        done = pirate("peers", "--peer", silent.address, "--timeout", "1s", cwd=place)
        assert silent.seconds < HELLO_SECONDS
    assert done.code == 4
    assert one_line(done, "no_network")


def test_a_claim_of_4_gib_costs_a_client_no_memory(place: Path) -> None:
    with Fake(claims_4_gib) as strange, Fake(glutton(CONTENT)) as greedy:
        peers = ("--peer", strange.address, "--peer", greedy.address)
        assert memory_of("get", SHA1, "-d", place, *peers) < MOST_MEMORY


def test_strange_clients_cost_a_server_neither_memory_nor_service(place: Path) -> None:
    with Serving(fill(place / "shared", {"file": CONTENT})) as server:
        for words in (HTTP, FOUR_GIB, os.urandom(100_000), b""):
            for _ in range(20):
                _throw(words, server)
        done = pirate("get", SHA1, "--peer", server.address, "-d", place)
        assert done.code == 0
        assert server.resident_bytes() < MOST_MEMORY
        assert server.process.poll() is None


def _throw(words: bytes, server: Serving) -> None:

    with (
        socket.create_connection(server.address, LONG_SECONDS) as guest,
        contextlib.suppress(OSError),
    ):
        guest.sendall(words)
