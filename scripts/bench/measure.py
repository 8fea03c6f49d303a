"""What the benchmarks share: processes and what they cost, medians, tables, the last line."""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]

SAMPLE_SECONDS = 0.02
TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 60.0
REAP_SECONDS = 1.0

# What else the machine was doing before we began.
LOAD = round(os.getloadavg()[0], 2)


class MissingError(Exception):
    """Something that has to be installed is not."""


class FailedError(Exception):
    """A process that is measured has failed, or delivered the wrong bytes."""


class Cost(NamedTuple):
    """What a process took: seconds of wall clock, of CPU, and its greatest memory in bytes.

    ``server_memory`` is the same of the server that was watched meanwhile.
    """

    wall: float
    cpu: float
    memory: int
    server_memory: int


def pirate_command() -> str:
    """The path of `pirate`: of this Python's environment, of .venv, or on the PATH."""
    for path in (Path(sys.executable).parent / "pirate", ROOT / ".venv" / "bin" / "pirate"):
        if path.exists():
            return str(path)
    if found := shutil.which("pirate"):
        return found
    raise MissingError("pirate is not installed here: run scripts/environment")


def environment() -> dict[str, str]:
    """Ours without what would make pirate slower, or make it ask others than it is told to."""
    dropped = re.compile("PIRATE_.*|PYTHONDONTWRITEBYTECODE|PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not dropped.fullmatch(name)}
    return kept | {"PIRATE_CONFIG": os.devnull, "PIRATE_STATE": f"{os.devnull}/nowhere"}


def tool(name: str, package: str) -> str:
    """The path of a program, also where only root's PATH leads."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    if found := shutil.which(name, path=path):
        return found
    raise MissingError(f"{name} is missing: apt install {package}")


def run(command: Sequence[str], *, sampled: bool = True, server: int | None = None) -> Cost:
    """Run a command to its end. ``sampled`` False: memories are 0, and nothing disturbs it.

    ``server`` is the process that it gets from, whose memory is looked at too.
    """
    start = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    )
    peak = _Peak(child.pid, server)
    if sampled:
        peak.start()
    try:
        _, status, usage = os.wait4(child.pid, 0)
    except BaseException:  # a signal that ends us ends it too
        child.kill()
        child.wait()
        raise
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.stderr
    with child.stderr as stderr:
        said = stderr.read().decode(errors="replace").strip()
    if sampled:
        peak.join()
    if child.returncode:
        raise FailedError(f"{' '.join(command)}: exit code {child.returncode}: {said}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak.memory, peak.server_memory)


class _Peak(threading.Thread):
    """Looks at a process's peak memory until it is gone; its ``ru_maxrss`` may be its parent's."""

    def __init__(self, pid: int, server: int | None) -> None:
        super().__init__(name="peak")
        self.memory = 0
        self.server_memory = 0
        self._pid = pid
        self._server = server

    def run(self) -> None:
        while memory := peak_memory(self._pid):
            self.memory = max(self.memory, memory)
            if self._server:
                self.server_memory = max(self.server_memory, peak_memory(self._server))
            time.sleep(SAMPLE_SECONDS)


def peak_memory(pid: int) -> int:
    """The most memory that a process or one of its children has had, in bytes; 0 if it ended."""
    with suppress(OSError):
        if match := re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()):
            return max(int(match[1]) * 1024, *(peak_memory(child) for child in _children(pid)), 0)
    return 0


def cpu_seconds(pid: int) -> float:
    """The CPU that a running process has used so far, with its children, who are waited for."""
    end = time.monotonic() + REAP_SECONDS
    while _children(pid) and time.monotonic() < end:
        time.sleep(SAMPLE_SECONDS)
    # Its name, in brackets, may hold spaces; utime to cstime are fields 14 to 17 of proc(5).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    return []


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server, stopped at the end."""
    with (
        log.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=file, env=environment()) as server,
    ):
        try:
            yield server
        except FailedError as error:
            if server.poll() is None:
                raise
            said = log.read_text(errors="replace")[-500:].strip()
            raise FailedError(
                f"{error}; the server has ended with {server.returncode}: {said}"
            ) from error
        finally:
            server.terminate()


class Place(NamedTuple):
    """Where both ends run: the server's address, and what their commands begin with."""

    host: str = "127.0.0.1"
    server: tuple[str, ...] = ()
    client: tuple[str, ...] = ()


HERE = Place()


@contextmanager
def pirate_serving(
    pirate: str, folder: Path, scratch: Path, place: Place = HERE
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A `pirate serve` that is ready, and its address. Two need a ``scratch`` each."""
    port = scratch / "port"
    port.unlink(missing_ok=True)
    listen = ["--listen", f"{place.host}:0", "--port-file", str(port)]
    command = [*place.server, pirate, "serve", str(folder), "--discovery", "none", *listen]
    with running(command, scratch / "serve.log") as server:
        wait_until(port.exists, server)
        yield server, f"{place.host}:{port.read_text().strip()}"


def listening(pid: int, port: int) -> bool:
    """Whether a TCP port is listened on where a process lives; it is not connected to."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    # Address and port, those of the other side, and the state, of which 0A is LISTEN.
    return any(
        fields[1].endswith(f":{port:04X}") and fields[3] == "0A"
        for fields in (line.split() for line in lines)
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    ready: Callable[[], bool], server: subprocess.Popen[bytes], seconds: float = READY_SECONDS
) -> None:
    """Wait until ``ready()``; FailedError if the server ends before, or takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if server.poll() is not None or time.monotonic() > end:
            raise FailedError("a server does not start")
        time.sleep(SAMPLE_SECONDS)


class Row(NamedTuple):
    """One line of the table: a contestant, and what each of its runs took."""

    name: str
    walls: Sequence[float]
    cells: Mapping[str, float]

    @property
    def wall(self) -> float:
        """The median."""
        return statistics.median(self.walls)

    def report(self) -> dict[str, Any]:
        """For JSON: seconds and bytes."""
        spread = {"min_s": round(min(self.walls), 4), "max_s": round(max(self.walls), 4)}
        cells = {name: round(value, 4) for name, value in self.cells.items()}
        return {"median_s": round(self.wall, 4)} | spread | cells


def machine() -> dict[str, Any]:
    """On what this was measured, and when."""
    text = ""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", text)
    control = ""
    with suppress(OSError):
        control = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "congestion": control,
        "load": LOAD,
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def print_machine() -> None:
    print(", ".join(f"{name} {value}" for name, value in machine().items()))


def print_json(bench: str, rows: Mapping[str, Row], **more: Any) -> None:  # noqa: ANN401
    """The last line: everything, for scripts."""
    measured = {key: row.report() for key, row in rows.items()}
    print(json.dumps({"bench": bench, "machine": machine(), "rows": measured} | more))


def size(text: str) -> int:
    """``64K``, ``1M``, ``1G`` or bytes, for argparse."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size, as in 64K, 1M or 1G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]


def add_options(parser: argparse.ArgumentParser, *, runs: int, size_of_file: str) -> None:
    """What all benchmarks that get files can be told."""
    parser.add_argument(
        "--size", type=size, default=size_of_file, help=f"of the file ({size_of_file})"
    )
    parser.add_argument("--runs", type=int, default=runs, help=f"of each ({runs})")
    parser.add_argument("--tmpfs", action="store_true", help="all files in /dev/shm")
    parser.add_argument("--folder", help="all files below this one (the system's for temporaries)")
    parser.add_argument("--pirate", metavar="COMMAND", help="measure this one")


@contextmanager
def scratch_folder(options: argparse.Namespace) -> Iterator[Path]:
    """A folder for all files of a benchmark, gone at the end."""
    parent = "/dev/shm" if options.tmpfs else options.folder
    with tempfile.TemporaryDirectory(prefix="pirate-bench-", dir=parent) as scratch:
        yield Path(scratch)


def main(bench: Callable[[], None]) -> int:
    """Run a benchmark; what is missing or failed is one line on stderr.

    A signal that ends it lets it tidy up first.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        bench()
    except (MissingError, FailedError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0
