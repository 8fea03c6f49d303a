"""Change a file in every way while it is shared and got; it may come whole, or not at all."""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Self

from campaigns.holders import Sample
from campaigns.place import Place
from campaigns.tap import Asked, Tap
from honest import SOON, dialer
from processes.peers import Running, Serving, until

from pirate.deadline import Deadline
from pirate.errors import RefusedError
from pirate.model import Peer
from pirate.scope import Stop

LONGEST_SECONDS = 60.0

# Exit codes of a download that its only holder does not finish: nobody has it any more, what
# came was something else, the holder gave up.
FAILED = {3, 5, 6}
RESULTS = ("came whole", "did not come")


class Changing:
    """One campaign of transfers from one server, while the ``with`` block runs."""

    def __init__(
        self,
        folder: Path,
        size: int,
        rng: Random,
        *,
        pause: float = 0.005,
        naive: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> None:
        """``pause`` is the tap's; ``naive`` runs server and gets, if they are careless ones."""
        self._folder = folder
        self._rng = rng
        self._pause = pause
        self._serve_by, self._get_by = naive
        self._sample = Sample("file.bin", Random(size).randbytes(size))
        self._shared = folder / "shared"
        self._file = self._shared / self._sample.name
        self._asked = Asked()
        self._stack = ExitStack()
        self.changes: Counter[str] = Counter()
        self.results: Counter[str] = Counter()
        self.accepted = 0  # files that are not what was asked for
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._shared.mkdir(parents=True)
        with self._stack:
            flags = ("-q", "--rescan", "1h", "--no-watch")
            self._server = self._stack.enter_context(
                Serving(self._shared, *flags, prefix=self._serve_by)
            )
            tap = self._stack.enter_context(Tap(self._server.address, self._asked, self._pause))
            self._peer = tap.address
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, transfers: int, most_wrong: int = 10) -> bool:
        """So many; whether nothing was wrong. Ends early if there is much wrong."""
        self._restore()
        before = self._descriptors()
        while self.results.total() < transfers and len(self.wrong) < most_wrong:
            self._transfer()
        if not until(lambda: self._descriptors() <= before, SOON):
            self.wrong.append(f"the server has {self._descriptors()} files open, {before} before")
        return not self.wrong

    def _transfer(self) -> None:
        place = Place(self._folder / "place", self._sample)
        self._asked.clear()
        with self._getting(place) as getting:
            reads = self._rng.randint(0, self._sample.segments)
            self._asked.wait(reads=reads, seconds=SOON)
            way = self._rng.choice(list(WAYS))
            WAYS[way](self._file, self._rng)
            if self._rng.random() < 0.3:
                self._server.rescan()
            done = getting.ends(LONGEST_SECONDS)
        self.changes[way] += 1
        wrong = place.misnamed()
        self.results[RESULTS[done.code != 0]] += 1
        if done.code == 0:
            wrong += place.finished()
        elif done.code not in FAILED:
            wrong.append(f"exit code {done.code}: {done.err.strip()}")
        wrong += self._afterwards(place)
        self.accepted += len(place.misnamed())
        self.wrong += [f"{way}: {each}" for each in wrong[:3]]
        shutil.rmtree(place.folder, ignore_errors=True)

    def _afterwards(self, place: Place) -> list[str]:
        """What is wrong once the file is what it was: the server lives, and gives it."""
        if self._server.process.poll() is not None:
            return ["the server has ended"]
        self._restore()
        with self._getting(place) as getting:
            done = getting.ends(LONGEST_SECONDS)
        return [f"afterwards: {done.err.strip()}"] if done.code else place.finished()

    @contextlib.contextmanager
    def _getting(self, place: Place) -> Iterator[Running]:
        get = ("get", self._sample.digest, "--peer", self._peer, "-d", place.folder)
        with Running(*get, prefix=self._get_by) as getting:
            yield getting

    def _restore(self) -> None:
        """Share the file as it was, and wait until the server knows."""
        self._file.unlink(missing_ok=True)
        self._file.write_bytes(self._sample.content)
        self._server.rescan()
        if not until(self._listed, SOON):
            raise RuntimeError("the server does not list the file")

    def _listed(self) -> bool:
        with contextlib.closing(dialer(connect=SOON, stall=SOON)) as dial:
            peer = Peer((self._server.address,))
            try:
                with dial.talk(peer, Deadline(SOON), Stop()) as conversation:
                    conversation.stat(self._sample.digest, Deadline(SOON))
                    conversation.read(self._sample.digest, 0, 1)
                    return conversation.data_into(memoryview(bytearray(1))) == 1
            except RefusedError:  # not yet, or not any more
                return False

    def _descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._server.process.pid}/fd"))  # noqa: PTH208


def _truncate(path: Path, rng: Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def _extend(path: Path, rng: Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randint(1, 100_000)))


def _rewrite(path: Path, rng: Random) -> None:
    """In place, somewhere."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(10):
            file.seek(rng.randrange(size))
            file.write(rng.randbytes(rng.randint(1, 1000)))
        file.truncate(size)


def _rewrite_secretly(path: Path, rng: Random) -> None:
    """And set the clock of the file back."""
    times = path.stat()
    _rewrite(path, rng)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _replace(path: Path, rng: Random) -> None:
    """By another of the same size."""
    other = path.with_name(".other")
    other.write_bytes(rng.randbytes(path.stat().st_size))
    other.replace(path)


def _remove(path: Path, _: Random) -> None:
    path.unlink()


WAYS = {
    "truncate": _truncate,
    "extend": _extend,
    "rewrite": _rewrite,
    "rewrite, same time": _rewrite_secretly,
    "replace": _replace,
    "remove": _remove,
}
