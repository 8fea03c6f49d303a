"""``get -o -``: a reader has the first bytes long before the last ones have come."""

import signal
import time
from pathlib import Path

from processes.peers import LONG_SECONDS, Running, Serving, arrived, until

SLOW = ("--limit-up", "50M")


def test_a_reader_has_the_first_bytes_while_the_rest_comes(big: tuple[Path, str]) -> None:
    folder, sha1 = big
    content = (folder / "big.bin").read_bytes()
    with Serving(folder, *SLOW) as server:
        began = time.monotonic()
        with Running("get", sha1, "--peer", server.address, "-o", "-", "-q") as getting:
            assert getting.process.stdout
            first = getting.process.stdout.read(1_000_000)
            took = time.monotonic() - began
            rest = getting.process.stdout.read()
            assert getting.process.wait(LONG_SECONDS) == 0
    assert took < (time.monotonic() - began) / 2
    assert first + rest == content


def test_a_reader_that_goes_away_in_the_middle_ends_it_silently(
    place: Path, big: tuple[Path, str]
) -> None:
    folder, sha1 = big
    get = ("get", sha1, "-o", "-", "-q", "--peer")
    with (
        Serving(folder, *SLOW) as server,
        Running(*get, server.address, TMPDIR=str(place)) as getting,
    ):
        assert getting.process.stdout
        assert getting.process.stderr
        getting.process.stdout.read(5_000_000)
        getting.process.stdout.close()
        assert getting.process.wait(LONG_SECONDS) == 141
        assert getting.process.stderr.read() == b""
    assert list(place.iterdir()) == []


def test_a_reader_that_takes_nothing_keeps_no_signal_out(
    place: Path, big: tuple[Path, str]
) -> None:
    folder, sha1 = big
    get = ("get", sha1, "-o", "-", "-q", "--peer")
    with (
        Serving(folder, *SLOW) as server,
        Running(*get, server.address, TMPDIR=str(place)) as getting,
    ):
        assert until(lambda: arrived(place) > 20_000_000)  # the pipe has long been full
        getting.send(signal.SIGINT)
        assert getting.process.wait(LONG_SECONDS) == 130
    assert list(place.iterdir()) == []
