"""Peers with many files that only their libraries know of, for `catalog` and `warm`.

usage: shelves.py PEERS FILES [same]

With `same` all of them have the same files. Prints a line of JSON: where they listen, what
they announce, and the memory before and after. For each line on stdin one file of the first peer
is replaced by another. It ends when stdin does.
"""

import hashlib
import json
import re
import resource
import socket
import sys
import time
from functools import partial
from pathlib import Path

from measure import ROOT

sys.path.insert(0, str(ROOT))

from pirate import __version__, record
from pirate.disk.hashing import Hashed, Sheet
from pirate.disk.identity import new_peer_id
from pirate.disk.place import Identity, Place
from pirate.disk.tree import Shares
from pirate.library import Library
from pirate.model import Address, Announcement, Digest
from pirate.net.reception import Limits
from pirate.network import new_hello
from pirate.scope import Scope, Stop
from pirate.serve.handler import Handler
from pirate.serve.server import Server
from pirate.wire.messages import Hello

FILES_A_FOLDER = 1000
PUBLISH_FILES = 50_000


class Shelf(Library):
    """Files that nobody can read, named as `scan` names those that it makes."""

    def __init__(self, peer: int, files: int) -> None:
        super().__init__(Shares(()), rescan=0)
        self._peer = peer
        self._index.begin()
        for number in range(files):
            self.put(number, b"%d/%d" % (peer, number))
            if number % PUBLISH_FILES == 0:
                self._publish()
        self._publish()

    def put(self, number: int, content: bytes) -> None:
        """Have a file of that content."""
        name = f"{self._peer:02}{number:07}.bin"
        folder = Place("/srv/share", (f"{number // FILES_A_FOLDER:04}",))
        identity = Identity(1 << 40, 10**9 + number, 1000 + number, 10**18, 10**18)
        digest = Digest(hashlib.sha1(content, usedforsecurity=False).digest())
        hashed = Hashed(digest, b"", identity, settled=True)
        self._index.learn(Sheet.of(folder, {name: hashed}))

    def change(self) -> float:
        """Replace a file; seconds until that is published."""
        self.put(0, time.time_ns().to_bytes(8, "big"))
        start = time.perf_counter()
        self._publish()
        return time.perf_counter() - start

    def record(self, hello: Hello, where: Address) -> str:
        """What it says of itself in a registry."""
        revision, count, size = self.catalog.revision, len(self.catalog), self.catalog.size
        announcement = Announcement(
            *(hello.peer, hello.name, (where,), __version__, revision, count, size)
        )
        return record.encode(announcement).decode()


def memory() -> int:
    """What this process has now, in bytes."""
    [kilobytes] = re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return 1024 * int(kilobytes)


def serve(hello: Hello, shelf: Shelf, listener: socket.socket, stop: Stop) -> None:
    """Answer as one of the peers; a thread's body."""
    server = Server(listener, lambda _: hello, Handler(shelf).answer, limits=Limits(), drain=0.0)
    server.run(stop)


def main() -> None:
    peers, files = int(sys.argv[1]), int(sys.argv[2])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    before = memory()
    same = sys.argv[3:] == ["same"]
    shelves = [Shelf(0 if same else number, files) for number in range(peers)]
    after = memory()
    addresses, records = [], []
    with Scope() as scope:
        for number, shelf in enumerate(shelves):
            listener = socket.create_server(("127.0.0.1", 0))
            where = Address(*listener.getsockname())
            hello = new_hello(f"peer-{number:05}", new_peer_id())
            addresses.append(str(where))
            records.append(shelf.record(hello, where))
            scope.spawn(f"peer {number}", partial(serve, hello, shelf, listener, scope.stop))
        told = {"addresses": addresses, "records": records, "before": before, "after": after}
        print(json.dumps(told), flush=True)
        for _ in sys.stdin:
            print(shelves[0].change(), flush=True)
        scope.stop.set()


if __name__ == "__main__":
    main()
