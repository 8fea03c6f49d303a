"""pirate with one precaution taken out: a campaign that lets it pass proves nothing.

usage: naive.py VARIANT ARGUMENTS_OF_PIRATE...
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pirate.chain import Chain, Link
from pirate.cli.main import run
from pirate.disk.journal import Journal
from pirate.disk.partfile import PartFile
from pirate.fetch.landing import Landing
from pirate.model import Digest


def early() -> None:
    """The final name stands from the beginning."""
    opened = PartFile.__init__

    def init(self: PartFile, folder: int, digest: Digest) -> None:
        opened(self, folder, digest)
        os.link(self._name, "early.bin", src_dir_fd=folder, dst_dir_fd=folder)

    PartFile.__init__ = init  # type: ignore[method-assign]


def forgetful() -> None:
    """Nothing from before is believed, nor looked at."""

    def recover(_: Landing, __: Chain) -> dict[int, Link]:
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


VARIANTS = {each.__name__: each for each in (early, forgetful, hasty, unsynced)}


if __name__ == "__main__":
    VARIANTS[sys.argv[1]]()
    sys.exit(run(sys.argv[2:]))
