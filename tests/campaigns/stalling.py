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
            return self._get([address, *others], share, inflict, *flags)

    def alone(self, fault: Fault | None, share: float, *flags: str) -> Run:
        """The only holder has a fault, and another one is there from then on."""
        with ExitStack() as stack:
            address, inflict = self._faulty(fault, stack)
            newcomer = stack.enter_context(Tap(self._others[0].address, Asked(), shut=True))

            def change() -> None:
                newcomer.open()
                inflict()

            addresses = [address, newcomer.address] if fault else [address]
            return self._get(addresses, share, change if fault else inflict, *flags)

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

    def _get(
        self, holders: list[Address], share: float, inflict: Callable[[], None], *flags: str
    ) -> Run:
        place = self._folder / "place"
        place.mkdir()
        named = [word for address in holders for word in ("--peer", str(address))]
        digest = hashlib.sha1(self._content).hexdigest()
        with Running("get", digest, "-q", "-d", place, *named, *flags) as getting:
            seconds, pause, struck = self._watch(getting, place, share, inflict)
            code = getting.process.returncode
        wrong = self._wrong(place) if code == 0 else f"exit code {code}"
        shutil.rmtree(place)
        return Run(seconds, pause, struck, wrong)

    def _watch(
        self, getting: Running, place: Path, share: float, inflict: Callable[[], None]
    ) -> tuple[float, float, bool]:
        """Until it ends; its seconds from the first segment on, the longest pause, if struck."""
        began = last = None
        struck = False
        most = pause = 0.0
        before = time.monotonic()
        while getting.process.poll() is None:
            if time.monotonic() > before + LONGEST_SECONDS:
                raise TimeoutError("it hangs")
            there, now = arrived(place), time.monotonic()
            if there > most:
                pause = max(pause, now - last) if last else 0.0
                began, last, most = began or now, now, there
            if not struck and there >= share * len(self._content):
                inflict()
                struck = True
            time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        return now - (began or before), max(pause, now - (last or before)), struck

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
