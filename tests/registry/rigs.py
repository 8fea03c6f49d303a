"""Each kind of registry behind one face, so that one suite can hold them all to the contract."""

import contextlib
import secrets
import socket
import time
from collections.abc import Callable
from typing import Protocol

from etcd_server import EtcdServer

from pirate.deadline import Deadline
from pirate.errors import RegistryError
from pirate.model import Address, Announcement, PeerId
from pirate.registry.base import Registry
from pirate.registry.etcd import EtcdRegistry
from pirate.registry.mdns import MdnsRegistry
from pirate.registry.memory import MemoryNetwork, MemoryRegistry
from pirate.registry.static import StaticRegistry
from pirate.registry.union import UnionRegistry

SOON = 20.0
SLACK = 8.0  # what a busy machine may take beyond what we wait for

NAMED = Address("127.0.0.9", 7070)


def announcement(number: int, *, revision: int = 0) -> Announcement:
    return Announcement(
        id=PeerId(bytes([number]) * 16),
        name=f"n{number}",
        addresses=(Address(f"127.0.0.{number}", 7070),),
        version="1.0.0",
        revision=revision,
    )


def until(condition: Callable[[], bool], seconds: float = SOON) -> bool:
    """Whether ``condition`` holds before ``seconds`` are over."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return holds


def names(registry: Registry) -> list[str]:
    return [peer.name for peer in registry.peers(Deadline(SOON))]


def fails_in_time(call: Callable[[Deadline], object], seconds: float = 0.5) -> bool:
    """Whether ``call`` raises RegistryError, and does it by its deadline."""
    start = time.monotonic()
    try:
        call(Deadline(seconds))
    except RegistryError:
        return time.monotonic() - start < seconds + SLACK
    return False


class Rig(Protocol):
    """One registry network: handles on it, and what can happen to it.

    ``spread`` is how many seconds it may take until others know what was said.
    """

    spread: float

    def handle(self, ttl: float = 15.0) -> Registry:
        """A new handle; the test closes it."""

    def pass_time(self, seconds: float) -> None:
        """Let that much time pass for the registry."""

    def wipe(self) -> None:
        """The registry loses everything, leases too, and goes on."""

    def break_down(self) -> None:
        """The registry accepts connections and answers nothing any more."""

    def mend(self) -> None:
        """It answers again and has forgotten nothing."""


class MemoryRig:
    spread = 0.0

    def __init__(self) -> None:
        self._now = 0.0
        self.network = MemoryNetwork(clock=lambda: self._now)

    def handle(self, ttl: float = 15.0) -> Registry:
        return MemoryRegistry(self.network, ttl)

    def pass_time(self, seconds: float) -> None:
        self._now += seconds

    def wipe(self) -> None:
        self.network.wipe()

    def break_down(self) -> None:
        self.network.down = True

    def mend(self) -> None:
        self.network.down = False


class UnionRig(MemoryRig):
    """Memory beside a static list whose one peer is among the announced."""

    def handle(self, ttl: float = 15.0) -> Registry:
        return UnionRegistry(super().handle(ttl), StaticRegistry((NAMED,)))


class EtcdRig:
    spread = 0.0

    def __init__(self, server: EtcdServer) -> None:
        self._server = server

    def handle(self, ttl: float = 15.0) -> Registry:
        return EtcdRegistry((self._server.address,), ttl)

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)  # the clock of etcd is its own

    def wipe(self) -> None:
        self._server.restart_empty()

    def break_down(self) -> None:
        self._server.freeze()

    def mend(self) -> None:
        self._server.thaw()


LOOPBACK = "127.0.0.1"
NOWHERE = "192.0.2.1"  # an address that no host has


def service() -> str:
    """A type of service that nobody else on this machine announces or looks for."""
    return f"_p{secrets.token_hex(5)}._tcp.local."


class MdnsRig:
    """Multicast on the loopback interface; for what is broken, that is away."""

    spread = SOON

    def __init__(self) -> None:
        self._interfaces = [LOOPBACK]
        self._service = service()
        self._handles: list[MdnsRegistry] = []

    def handle(self, ttl: float = 15.0) -> Registry:
        handle = MdnsRegistry(ttl, interfaces=self._interfaces, service=self._service)
        self._handles.append(handle)
        return handle

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)

    def wipe(self) -> None:
        """Nobody keeps it for all: what can be lost is what each one answers."""
        for handle in self._handles:
            if handle._zeroconf:
                handle._zeroconf.unregister_all_services()

    def break_down(self) -> None:
        self._interfaces[:] = [NOWHERE]

    def mend(self) -> None:
        self._interfaces[:] = [LOOPBACK]


class BlackHole:
    """A port where connections are accepted, by the kernel, and nothing ever answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._listener.getsockname())

    def close(self) -> None:
        self._listener.close()


class Annoyed:
    """A server that ends every connection as etcd ends those that ping too often."""

    SETTINGS = bytes.fromhex("000000 04 00 00000000")
    GOAWAY = bytes.fromhex("000008 07 00 00000000 00000000 0000000b")  # ENHANCE_YOUR_CALM

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._listener.getsockname())

    def run(self) -> None:
        """Serve until closed; a thread's body."""
        with contextlib.suppress(OSError):
            while True:
                guest, _ = self._listener.accept()
                with guest:
                    guest.recv(1024)
                    guest.sendall(self.SETTINGS + self.GOAWAY)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
