"""Flags of get that bound it: how many holders, and how fast."""

import time

import pytest
from cli.calling import Pirate
from honest import QUICK, Honest, digest_of, some_bytes

CONTENT = some_bytes(500_000)
SHA1 = str(digest_of(CONTENT))


@pytest.mark.parametrize(
    "flags", [("-s", "0"), ("-s", "many"), ("--limit-down", "63K"), ("--limit-down", "quick")]
)
def test_what_cannot_be_is_a_usage_error(pirate: Pirate, flags: tuple[str, str]) -> None:
    done = pirate("get", SHA1, *flags, "--peer", "127.0.0.1:1")
    assert (done.code, done.out) == (2, "")
    assert done.says("usage")
    assert flags[0] in done.err


def test_serve_refuses_a_rate_that_is_a_stall(pirate: Pirate) -> None:
    done = pirate("serve", "--listen", "127.0.0.1:0", "--limit-up", "1K")
    assert done.code == 2
    assert done.says("usage")


def test_get_keeps_to_its_limit(pirate: Pirate, honest: Honest) -> None:
    honest.put("file", CONTENT)
    began = time.monotonic()
    done = pirate("get", SHA1, "--peer", honest.address, "--limit-down", "500K", "--json")
    assert done.code == 0
    expected = done.last["received_bytes"] / (500 * 1024)
    assert 0.85 * expected < time.monotonic() - began < expected + QUICK
