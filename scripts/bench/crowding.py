"""What `crowd` is played with: an etcd, a `pirate serve`, many peers, and what they take."""

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import measure
from measure import ROOT, FailedError, MissingError

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))

import etcd_server

from pirate import record
from pirate.deadline import Deadline
from pirate.model import Address, Announcement, Peer, PeerId
from pirate.net.dial import Dialer
from pirate.network import new_hello
from pirate.registry.access import PLAIN
from pirate.registry.etcd import PREFIX
from pirate.registry.etcd_client import Client
from pirate.scope import Stop
from pirate.wire.messages import Roster

SEEN_SECONDS = 20.0
LASTING_SECONDS = 3600
LOOK_SECONDS = 0.002

# Ethernet, IPv4, and TCP with its timestamps.
HEADER_BYTES = 66


class Etcd(NamedTuple):
    """A running etcd."""

    address: Address
    pid: int

    def metrics(self) -> dict[str, float]:
        """Its counters: a name, with its labels, and the value."""
        connection = http.client.HTTPConnection(*self.address, timeout=10.0)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def healthy(self) -> bool:
        """Whether it can be written to."""
        try:
            return bool(self.metrics().get("etcd_server_has_leader"))
        except OSError:
            return False


@contextmanager
def running_etcd(scratch: Path) -> Iterator[Etcd]:
    """An etcd as it is by default, alone."""
    try:
        binary = etcd_server.binary()
    except RuntimeError as error:
        raise MissingError(str(error)) from error
    address = Address("127.0.0.1", measure.free_port())
    command = [binary, f"--data-dir={scratch / 'etcd'}", "--log-level=error"]
    command += [f"--listen-client-urls=http://{address}"]
    command += [f"--advertise-client-urls=http://{address}"]
    command += ["--listen-peer-urls=http://127.0.0.1:0"]
    with measure.running(command, scratch / "etcd.log") as process:
        etcd = Etcd(address, process.pid)
        measure.wait_until(etcd.healthy, process)
        yield etcd


@contextmanager
def throng(
    numbers: tuple[int, int, int, int], scratch: Path, etcd: Etcd
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Peers that are all there; gives their process and what it says of them.

    ``numbers``: how many, how many of them live, the files of each, and the TTL.
    """
    script = str(Path(__file__).with_name("throng.py"))
    peers, alive, files, ttl = map(str, numbers)
    command = [sys.executable, script, peers, alive, files, str(scratch / "share")]
    command += [str(etcd.address), ttl]
    with (
        (scratch / "throng.log").open("w+") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=measure.environment() | {"PYTHONPATH": str(ROOT)},
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        try:
            if not (started := process.stdout.readline()):
                process.wait()
                raise FailedError(f"the peers do not start: {_tail(log.name)}")
            yield process.pid, json.loads(started)
            if process.poll() is not None:
                raise FailedError(f"the peers have ended: {_tail(log.name)}")
        finally:
            process.kill()


def _tail(path: str) -> str:
    return Path(path).read_text(errors="replace")[-1000:].strip()


@contextmanager
def serving(pirate: str, own: Path, etcd: Etcd) -> Iterator["Server"]:
    """A real `pirate serve` beside them, with a small file."""
    share, port = own / "share", own / "port"
    share.mkdir(parents=True)
    (share / f"{own.name}.bin").write_bytes(own.name.encode())
    command = [pirate, "serve", str(share), "--listen", "127.0.0.1:0"]
    command += ["--port-file", str(port), *in_etcd(etcd)]
    with measure.running(command, own / "log") as process:
        measure.wait_until(port.exists, process)
        yield Server(process.pid, Address("127.0.0.1", int(port.read_text())))


class Server(NamedTuple):
    """That serve."""

    pid: int
    address: Address

    def knows(self, dialer: Dialer, peer: PeerId | None = None) -> int:
        """How many it tells of, itself among them; of ``peer`` alone, 1 or 0."""
        never = Deadline(SEEN_SECONDS)
        before = int.from_bytes(peer or b"\1") - 1
        after = PeerId(before.to_bytes(PeerId.SIZE))
        with dialer.talk(Peer((self.address,)), never, Stop()) as conversation:
            answer, records = conversation._peers(Roster(after, 1, ""), never)  # noqa: SLF001
        if peer is None:
            return answer.count
        return sum(record.decode(each.encode()).id == peer for each in records)

    def wait_for(self, count: int) -> None:
        """Wait until it knows so many."""
        dialer = Dialer(new_hello())
        end = time.monotonic() + SEEN_SECONDS
        while self.knows(dialer) != count + 1:
            if time.monotonic() > end:
                raise FailedError(f"a serve does not know {count} peers")
            time.sleep(0.1)
        dialer.close()

    @property
    def memory(self) -> int:
        """What of it is in memory, in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", text)
        return int(found[1]) * 1024 if found else 0


def in_etcd(etcd: Etcd) -> tuple[str, ...]:
    """What tells pirate to look there alone."""
    return "--discovery", "etcd", "--etcd", str(etcd.address)


def client(etcd: Etcd) -> Client:
    """For what `pirate` itself would write there."""
    return Client((etcd.address,), PLAIN)


def announce(etcd: Etcd, records: Sequence[str]) -> None:
    """Put records there that need nobody to be renewed."""
    there = client(etcd)
    lease = there.grant(LASTING_SECONDS, Deadline(SEEN_SECONDS))
    for each in records:
        key = f"{PREFIX}{record.decode(each.encode()).id}".encode()
        there.put_over(None, key, each.encode(), lease, Deadline(SEEN_SECONDS))
    there.close()


def until_seen(client: Client, server: Server, ttl: int) -> float:
    """Announce somebody, and wait until the serve tells of it."""
    newcomer = Announcement(
        new_hello().peer, "newcomer", (Address("127.2.0.1", 7070),), "0", started=time.time()
    )
    dialer = Dialer(new_hello())
    server.knows(dialer)
    lease = client.grant(ttl, Deadline(SEEN_SECONDS))
    began = time.perf_counter()
    key = f"{PREFIX}{newcomer.id}".encode()
    client.put_over(None, key, record.encode(newcomer), lease, Deadline(SEEN_SECONDS))
    while not server.knows(dialer, newcomer.id):
        if time.perf_counter() - began > SEEN_SECONDS:
            raise FailedError("a newcomer is not seen")
        time.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - began
    client.revoke(lease, Deadline(SEEN_SECONDS))
    dialer.close()
    return seconds


def on_the_wire(etcd: Etcd) -> float:
    """Bytes to and from etcd on all its connections, with all headers; 0 without ss."""
    try:
        ss = measure.tool("ss", "iproute2")
    except MissingError:
        return 0.0
    where = ["sport", "=", f":{etcd.address.port}"]
    said = subprocess.run([ss, "-tinH", *where], capture_output=True, text=True, check=True).stdout
    data = re.findall(r"\bbytes_(?:sent|received):(\d+)", said)
    segments = re.findall(r"\bsegs_(?:out|in):(\d+)", said)
    return sum(map(int, data)) + HEADER_BYTES * sum(map(int, segments))


def calm(etcd: Etcd, seconds: float, peers: int = 0) -> dict[str, float]:
    """What etcd takes a second while nobody does anything but live; ``peers`` is their process."""

    def now() -> dict[str, float]:
        metrics = etcd.metrics()
        handled = {
            re.sub(r'.*grpc_method="(\w+)".*', r"\1_per_s", name): value
            for name, value in metrics.items()
            if name.startswith("grpc_server_started_total")
        }
        return handled | {
            "cpu": measure.cpu_seconds(etcd.pid),
            "peers_cpu": measure.cpu_seconds(peers) if peers else 0.0,
            "in_bytes_per_s": metrics["etcd_network_client_grpc_received_bytes_total"],
            "out_bytes_per_s": metrics["etcd_network_client_grpc_sent_bytes_total"],
            "wire_bytes_per_s": on_the_wire(etcd),
            "proposals_per_s": metrics["etcd_server_proposals_committed_total"],
        }

    began, before = time.monotonic(), now()
    time.sleep(seconds)
    after, passed = now(), time.monotonic() - began
    rates = {name: (value - before.get(name, 0.0)) / passed for name, value in after.items()}
    return {name: round(value, 4) for name, value in rates.items() if value}
