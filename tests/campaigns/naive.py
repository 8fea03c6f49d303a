"""pirate with one precaution taken out: a campaign that lets it pass proves nothing.

usage: naive.py VARIANT [PYTHON -m pirate] ARGUMENTS_OF_PIRATE...
"""

# ruff: noqa: E402 - Ctrl-C while modules load ends it without a traceback, as it does the real one

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pirate.chain import Link
from pirate.cli.main import run
from pirate.disk.journal import Journal
from pirate.disk.partfile import PartFile
from pirate.disk.source import Source
from pirate.fetch.fetcher import Fetcher
from pirate.fetch.landing import Landing
from pirate.model import Digest


def early() -> None:
    """The final name stands from the beginning."""
    opened = PartFile.__init__

    def init(self: PartFile, folder: int, digest: Digest, *, cut: bool = False) -> None:
        opened(self, folder, digest, cut=cut)
        os.link(self._name, "early.bin", src_dir_fd=folder, dst_dir_fd=folder)

    PartFile.__init__ = init  # type: ignore[method-assign]


def forgetful() -> None:
    """Nothing from before is believed, nor looked at."""

    def recover(*_: object) -> dict[int, Link]:
        return {}

    Landing.recover = recover  # type: ignore[method-assign, assignment]


def hasty() -> None:
    """A segment is noted before its bytes are written, and it takes a moment between them."""
    write, note = PartFile.write, Journal.note
    held: list[tuple[PartFile, memoryview, int]] = []

    def hold(self: PartFile, data: memoryview, offset: int) -> None:
        held.append((self, data, offset))

    def note_first(self: Journal, index: int, link: Link) -> None:
        note(self, index, link)
        time.sleep(0.002)
        write(*held.pop())

    PartFile.write = hold  # type: ignore[method-assign]
    Journal.note = note_first  # type: ignore[method-assign]


def unsynced() -> None:
    """Nothing is ever synced."""
    os.fsync = lambda fd: None  # noqa: ARG005 - its name is fsync's


def unlocked() -> None:
    """Nobody heeds who else is at work."""
    fcntl.flock = lambda *_: None


def blind() -> None:
    """What has been hashed once is served, whatever became of it."""
    Source.check = lambda self: None  # type: ignore[method-assign]  # noqa: ARG005 - its own


def trusting() -> None:
    """What comes is taken for what was asked for."""
    receive = Fetcher._receive

    def trust(self: Fetcher, segment: memoryview, index: int) -> bytes:
        receive(self, segment, index)
        return self._chain.link(index).after

    Fetcher._receive = trust  # type: ignore[method-assign]


def clinging() -> None:
    """What is in the registry stays there."""
    from pirate.registry.etcd import EtcdRegistry  # noqa: PLC0415 - the others need no gRPC

    EtcdRegistry.withdraw = lambda *_: None  # type: ignore[method-assign]


VARIANTS = {
    each.__name__: each
    for each in (early, forgetful, hasty, unsynced, unlocked, blind, trusting, clinging)
}


if __name__ == "__main__":
    VARIANTS[sys.argv[1]]()
    words = sys.argv[2:]
    if words[1:3] == ["-m", "pirate"]:
        del words[:3]
    sys.exit(run(words))
