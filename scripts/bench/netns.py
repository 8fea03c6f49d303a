"""Network namespaces joined by virtual cables, with links as slow as one likes; for root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from measure import FailedError, MissingError, Place

MEGABIT = 1_000_000

# The addresses that RFC 2544 sets aside for benchmarks; a cable has a /30 of them. They are
# seen inside of the namespaces only.
NETWORK = "198.18"
NETWORK_6 = "fd00:198:18"  # likewise seen inside only

# What tbf may send at once: a segment that is still to be cut (64 KiB), or what its rate
# brings in this time.
LEAST_BURST = 128 * 1024
BURST_SECONDS = 0.002
QUEUE_MS = 50


class Holder(NamedTuple):
    """A namespace at the other end of a cable from the getter's."""

    name: str
    place: Place


def require() -> None:
    """MissingError unless namespaces can be made here."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("tc"):
        raise MissingError("this needs root, and ip and tc: apt install iproute2")


@contextmanager
def star(count: int) -> Iterator[list[Holder]]:
    """So many holders, each with a cable of its own to one getter; gone at the end."""
    getter = f"bench-{os.getpid()}-get"
    with ExitStack() as stack:
        stack.enter_context(_namespace(getter))
        holders = []
        for number in range(count):
            name = f"bench-{os.getpid()}-{number}"
            stack.enter_context(_namespace(name))
            _cable(name, getter, number)
            place = Place(f"{NETWORK}.{number}.1", _inside(name), _inside(getter))
            holders.append(Holder(name, place))
        yield holders


@contextmanager
def lan(count: int) -> Iterator[list[Holder]]:
    """So many hosts on one switch, with addresses of both families; gone at the end.

    The commands of a host's ``place`` both run on it.
    """
    switch = f"bench-{os.getpid()}-switch"
    with ExitStack() as stack:
        stack.enter_context(_namespace(switch))
        _run("ip", "-n", switch, "link", "add", "name", "switch", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "switch", "up")
        hosts = []
        for number in range(1, count + 1):
            name = f"bench-{os.getpid()}-{number}"
            stack.enter_context(_namespace(name))
            port = f"port{number}"
            peer = ["type", "veth", "peer", "name", port, "netns", switch]
            _run("ip", "link", "add", "name", "eth0", "netns", name, *peer)
            _run("ip", "-n", switch, "link", "set", port, "master", "switch", "up")
            for address in (f"{NETWORK}.0.{number}/24", f"{NETWORK_6}::{number}/64"):
                quick = ["nodad"] if ":" in address else []
                _run("ip", "-n", name, "address", "add", address, "dev", "eth0", *quick)
            _run("ip", "-n", name, "link", "set", "eth0", "up")
            inside = _inside(name)
            hosts.append(Holder(name, Place(f"{NETWORK}.0.{number}", inside, inside)))
        yield hosts


def cap(holder: Holder, rate: float) -> None:
    """Let a holder send at most ``rate`` bits a second, headers included."""
    burst = max(LEAST_BURST, int(rate * BURST_SECONDS / 8))
    shape = ["tbf", "rate", f"{rate:.0f}bit", "burst", str(burst), "latency", f"{QUEUE_MS}ms"]
    _run("tc", "-n", holder.name, "qdisc", "replace", "dev", "cable", "root", *shape)


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "-n", name, "link", "set", "lo", "up")
        yield
    finally:
        _run("ip", "netns", "del", name)


def _cable(holder: str, getter: str, number: int) -> None:
    """Join two namespaces: the holder has .1 of the cable's network, the getter .2."""
    far = f"cable{number}"
    peer = ["type", "veth", "peer", "name", far, "netns", getter]
    _run("ip", "link", "add", "name", "cable", "netns", holder, *peer)
    for name, device, host in ((holder, "cable", 1), (getter, far, 2)):
        _run("ip", "-n", name, "address", "add", f"{NETWORK}.{number}.{host}/30", "dev", device)
        _run("ip", "-n", name, "link", "set", device, "up")


def _inside(name: str) -> tuple[str, ...]:
    """What a command begins with that runs in a namespace."""
    return ("ip", "netns", "exec", name)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"{' '.join(command)}: {done.stderr.strip()}")
