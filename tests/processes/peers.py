"""Real pirates in real processes: one that serves, and commands that end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from etcd_server import free_port, freeze

from pirate.chain import length
from pirate.disk.journal import decode
from pirate.model import Address, Digest

SOURCE = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")

# What has to happen happens before they are over, on the slowest machine.
READY_SECONDS = 60.0
LONG_SECONDS = 120.0


class Done(NamedTuple):
    """How a command ended: its exit code, what it wrote, and the seconds it took."""

    code: int
    written: bytes
    err: str
    seconds: float

    @property
    def out(self) -> str:
        return self.written.decode()


def command(*arguments: object) -> list[str]:
    """Peers are found only where the test says: others may run on this machine."""
    words = [sys.executable, "-m", "pirate", *map(str, arguments)]
    in_etcd = "--etcd" in words and "--discovery" not in words
    return [*words, "--discovery", "etcd"] if in_etcd else words


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of pirate, so that the machine's own do not matter.

    The tests' conftest has given what is remembered a place; campaigns remember nothing.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PIRATE_") or name == "PIRATE_STATE"
    }
    ours.setdefault("PIRATE_STATE", f"{os.devnull}/nowhere")
    settings = {"XDG_CONFIG_HOME": os.devnull, "PIRATE_DISCOVERY": "static"}
    return ours | {"PYTHONPATH": str(SOURCE)} | settings | more


def pirate(
    *arguments: object,
    cwd: Path | None = None,
    stdin: str = "",
    seconds: float = LONG_SECONDS,
    **variables: str,
) -> Done:
    """Run one command to its end; fails if that takes longer than ``seconds``."""
    began = time.monotonic()
    done = subprocess.run(
        command(*arguments),
        input=stdin.encode(),
        capture_output=True,
        cwd=cwd,
        env=environment(**variables),
        timeout=seconds,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode(), time.monotonic() - began)


def nobody() -> Address:
    """Where no peer is: connections to it are refused."""
    return Address("127.0.0.1", free_port())


def until(condition: Callable[[], bool], seconds: float = READY_SECONDS) -> bool:
    """Whether ``condition`` holds before ``seconds`` are over."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return holds


def arrived(place: Path) -> int:
    """Bytes of unfinished downloads that are there and proven."""
    total = 0
    for part in place.rglob(".*.pirate-part"):
        journal = part.with_suffix(".pirate-journal")
        with contextlib.suppress(FileNotFoundError):
            digest = Digest(bytes.fromhex(part.name[1:41]))
            said = decode(journal.read_bytes(), digest, part.stat().st_ino)
            total += sum(length(said[0].size, index) for index in said[0].links) if said else 0
    return total


def one_line(done: Done, code: str) -> bool:
    """Whether stderr is one line, ``pirate: CODE: what happened; what to do``, and all of it."""
    lines = done.err.splitlines()
    return len(lines) == 1 and lines[0].startswith(f"pirate: {code}: ") and "; " in lines[0]


class Running:
    """A pirate under way. Leaving its block kills it if it still runs."""

    def __init__(
        self,
        *arguments: object,
        cwd: Path | None = None,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        prefix: Sequence[str] = (),
        **variables: str,
    ) -> None:
        """``prefix`` is what runs it, such as a shell that sets limits and then execs it."""
        self.process = subprocess.Popen(
            [*prefix, *command(*arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(**variables),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ends(self, seconds: float = LONG_SECONDS) -> Done:
        """Wait for its end; fails if that takes longer than ``seconds``."""
        began = time.monotonic()
        out, err = self.process.communicate(timeout=seconds)
        took = time.monotonic() - began
        return Done(self.process.returncode, out, err.decode(), took)

    def stopped_by(self, number: signal.Signals, seconds: float = LONG_SECONDS) -> Done:
        """Send it a signal and wait for its end."""
        began = time.monotonic()
        self.send(number)
        return self.ends(seconds)._replace(seconds=time.monotonic() - began)

    def processor_seconds(self) -> float:
        """CPU time it has used, in user and kernel mode."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def bytes_read(self) -> int:
        """What it has read by system calls, from files above all."""
        fields = Path(f"/proc/{self.process.pid}/io").read_text().split()
        return int(fields[fields.index("rchar:") + 1])

    def resident_bytes(self) -> int:
        """The most memory it has had."""
        fields = Path(f"/proc/{self.process.pid}/status").read_text().split()
        return 1024 * int(fields[fields.index("VmHWM:") + 1])


class Serving(Running):
    """A pirate that serves ``folder`` and is ready."""

    def __init__(
        self,
        folder: Path,
        *flags: object,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        prefix: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.port_file = folder.with_name(f"{folder.name}.{time.monotonic_ns()}.port")
        super().__init__(
            "serve",
            folder,
            *("--listen", "127.0.0.1:0"),
            *("--port-file", self.port_file),
            *("--name", folder.name),
            *flags,
            stdin=stdin,
            prefix=prefix,
        )
        try:
            self.address = self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def rescan(self) -> None:
        """Have it look at its folder now."""
        self.send(signal.SIGHUP)

    def _wait_until_ready(self) -> Address:
        def settled() -> bool:
            return self.port_file.exists() or self.process.poll() is not None

        if not until(settled, READY_SECONDS) or self.process.poll() is not None:
            self.process.kill()
            out, err = self.process.communicate()
            raise RuntimeError(f"serve does not become ready: {out!r} {err!r}")
        return Address("127.0.0.1", int(self.port_file.read_text()))


@contextlib.contextmanager
def frozen(running: Running) -> Iterator[None]:
    """It stands still, though its connections stay."""
    freeze(running.process)
    try:
        yield
    finally:
        running.send(signal.SIGCONT)
