"""A holder falls silent in the middle of a download: how long does nothing come?"""

import enum
import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple, Self

from campaigns.tap import Asked, Tap
from processes.peers import Running, Serving, arrived

from pirate.model import Address

# What P10 allows: a pause in what arrives, in seconds.
LONGEST_PAUSE = 10.0

# A get that takes longer than this hangs.
LONGEST_SECONDS = 120.0

LOOK_SECONDS = 0.01

# A get whose only holder is silent looks for others every 5 s.
LATE_SECONDS = 2.0


class Fault(enum.Enum):
    """What happens to a holder."""

    STOPPED = "SIGSTOP"
    KILLED = "SIGKILL"
    PARTITIONED = "partition"


class Run(NamedTuple):
    """One get: its longest pause between two segments, and what is wrong with its end.

    ``struck`` unless it was over before the fault came.
    """

    seconds: float
    pause: float
    struck: bool
    wrong: str


class Change(NamedTuple):
    """What happens when ``share`` of the file is here, and ``late`` seconds after it."""

    share: float
    inflict: Callable[[], None]
    join: Callable[[], None] = lambda: None
    late: float = 0.0


class Stalling:
    """Real servers of one file, each limited in its rate, while the ``with`` block runs."""

    def __init__(self, folder: Path, size: int, rate: str, *, nft: bool = False) -> None:
        """``nft``: this network namespace is ours, and packets may be dropped in it."""
        self._folder = folder
        self._content = Random(size).randbytes(size)
        self._rate = rate
        self._nft = nft
        self._stack = ExitStack()
        self._others: list[Serving] = []

    def __enter__(self) -> Self:
        shared = self._folder / "shared"
        shared.mkdir(parents=True)
        (shared / "file.bin").write_bytes(self._content)
        with self._stack:
            self._others = [self._stack.enter_context(self._serving()) for _ in range(2)]
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def among(self, fault: Fault | None, share: float, *flags: str) -> Run:
        """One of three holders has a fault when so much of the file is here; or none has."""
        with ExitStack() as stack:
            address, inflict = self._faulty(fault, stack)
            others = [other.address for other in self._others]
            return self._get([address, *others], Change(share, inflict), *flags)

    def alone(self, fault: Fault | None, share: float, *flags: str, late: float = 0.0) -> Run:
        """The only holder has a fault, and ``late`` seconds after it another one is there."""
        with ExitStack() as stack:
            address, inflict = self._faulty(fault, stack)
            if fault is None:
                return self._get([address], Change(share, inflict), *flags)
            newcomer = stack.enter_context(Tap(self._others[0].address, Asked(), shut=True))
            change = Change(share, inflict, newcomer.open, late)
            return self._get([address, newcomer.address], change, *flags)

    def later(self, fault: Fault | None, share: float) -> Run:
        """As ``alone``, and the other one is there too late for the next look."""
        return self.alone(fault, share, late=LATE_SECONDS)

    def _serving(self) -> Serving:
        return Serving(self._folder / "shared", "-q", "--limit-up", self._rate)

    def _faulty(self, fault: Fault | None, stack: ExitStack) -> tuple[Address, Callable[[], None]]:
        """The address of a holder, and what brings the fault about."""
        server = stack.enter_context(self._serving())
        match fault:
            case None:
                return server.address, lambda: None
            case Fault.STOPPED:
                return server.address, lambda: server.send(signal.SIGSTOP)
            case Fault.KILLED:
                return server.address, lambda: server.send(signal.SIGKILL)
            case Fault.PARTITIONED if self._nft:
                stack.callback(nft, "delete table inet stalls")
                nft("add table inet stalls")
                return server.address, lambda: drop(server.address.port)
            case Fault.PARTITIONED:
                tap = stack.enter_context(Tap(server.address, Asked()))
                return tap.address, tap.cut

    def _get(self, holders: list[Address], change: Change, *flags: str) -> Run:
        place = self._folder / "place"
        place.mkdir()
        named = [word for address in holders for word in ("--peer", str(address))]
        digest = hashlib.sha1(self._content).hexdigest()
        with Running("get", digest, "-q", "-d", place, *named, *flags) as getting:
            seconds, pause, struck = self._watch(getting, place, change)
            code = getting.process.returncode
        wrong = self._wrong(place) if code == 0 else f"exit code {code}"
        shutil.rmtree(place, ignore_errors=True)
        return Run(seconds, pause, struck, wrong)

    def _watch(self, getting: Running, place: Path, change: Change) -> tuple[float, float, bool]:
        """Until it ends; its seconds from the first segment on, the longest pause, if struck.

        A pause counts from when somebody could end it.
        """
        began = last = struck = joined = None
        most = pause = 0.0
        before = time.monotonic()
        while getting.process.poll() is None:
            if time.monotonic() > before + LONGEST_SECONDS:
                raise TimeoutError("it hangs")
            there, now = arrived(place), time.monotonic()
            if there > most:
                pause = max(pause, now - last) if last else 0.0
                began, last, most = began or now, now, there
            if not struck and there >= change.share * len(self._content):
                change.inflict()
                struck = now
            if struck and not joined and now >= struck + change.late:
                change.join()
                joined = last = now
            time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        return now - (began or before), max(pause, now - (last or before)), bool(struck)

    def _wrong(self, place: Path) -> str:
        if [path.name for path in place.iterdir()] != ["file.bin"]:
            return "something else is left"
        same = (place / "file.bin").read_bytes() == self._content
        return "" if same else "the file is wrong"


def nft(command: str) -> None:
    """Tell the packet filter of this network namespace."""
    subprocess.run(["nft", *command.split()], check=True, stdout=sys.stderr)


def drop(port: int) -> None:
    """Drop every packet from and to a port, without a word."""
    nft("add chain inet stalls input { type filter hook input priority 0 ; }")
    nft(f"add rule inet stalls input tcp dport {port} drop")
    nft(f"add rule inet stalls input tcp sport {port} drop")
