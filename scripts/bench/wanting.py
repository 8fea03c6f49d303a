"""What `catalog` and `warm` are played with: their peers, and a client that counts bytes."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from measure import ROOT, FailedError

sys.path.insert(0, str(ROOT))

from pirate.catalogs import Catalogs, Listing
from pirate.deadline import Deadline
from pirate.disk.identity import new_peer_id
from pirate.model import Address, Peer
from pirate.net.dial import Dialer
from pirate.network import new_hello
from pirate.scope import Stop

TTL = 1.0


class Shelves:
    """The process that plays peers."""

    def __init__(self, player: "subprocess.Popen[str]") -> None:
        self._player = player
        told = json.loads(self._line())
        self.addresses: list[str] = told["addresses"]
        self.records: list[str] = told["records"]
        self.memory: int = told["after"]
        self.cost: int = told["after"] - told["before"]

    def change(self) -> float:
        """Have one file change; seconds until that is published."""
        assert self._player.stdin
        print(file=self._player.stdin, flush=True)
        return float(self._line())

    def _line(self) -> str:
        assert self._player.stdout
        line = self._player.stdout.readline()
        if not line:
            raise FailedError("the peers have ended")
        return line


@contextlib.contextmanager
def shelves(peers: int, files: int, *how: str) -> Iterator[Shelves]:
    script = Path(__file__).with_name("shelves.py")
    command = [sys.executable, str(script), str(peers), str(files), *how]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as player:
        try:
            yield Shelves(player)
        finally:
            player.terminate()


class Counted:
    """A way to a peer that counts the bytes in both directions."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.peer = Peer((Address(*self._listener.getsockname()),))
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            guest, _ = self._listener.accept()
            server = socket.create_connection(self._target)
            for ends in ((guest, server), (server, guest)):
                threading.Thread(target=self._copy, args=ends, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.count += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


class Changes:
    """What a peer's catalog costs on the wire: whole, unchanged, and after one change."""

    def __init__(self, shelf: Shelves) -> None:
        self._way = Counted(shelf.addresses[0])
        with contextlib.closing(Dialer(new_hello("bench", new_peer_id()))) as dialer:
            self._catalogs = Catalogs(dialer, ttl=TTL)
            self.whole, first = self._ask()
            self.unchanged, same = self._ask()
            self.publish = shelf.change()
            self.change, changed = self._ask()
        if same.catalog is not first.catalog or changed.catalog == first.catalog:
            raise FailedError("the catalog is not what it should be")
        if len(changed.catalog) != len(first.catalog):
            raise FailedError("a file was replaced, and there are more or fewer")

    def _ask(self) -> tuple[int, Listing]:
        Stop().wait(1.2 * TTL)
        before = self._way.count
        found = self._catalogs.of(self._way.peer, Deadline.within(600), Stop())
        return self._way.count - before, found
