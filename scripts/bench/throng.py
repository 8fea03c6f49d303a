"""Many peers in one process, for `crowd`: real listeners, real announcements, real heartbeats.

usage: throng.py COUNT ALIVE FILES FOLDER ETCD TTL

Each peer has a host of its own (127.1.x.y), which listens, and answers by pirate's own reception
and handler. Most share FILES files that only their catalogs know of; those who are the first, the
middle and the last in etcd share what is below FOLDER/0, FOLDER/1 and FOLDER/2.
In etcd ALIVE of them have a connection, a lease and a key each, and send what `pirate serve` sends:
one is granted a lease, puts its record by a transaction, lists all others and, as soon as all are
there, watches them; it renews the lease within a third of the TTL, and lists and watches anew when
its mirror is no more trusted.
What it hears is not decoded, so that a thousand ears do not need more than etcd itself.
The keys of the others are under one lease. When all are there it prints a line of JSON, and goes on
until stdin ends.
"""

import asyncio
import json
import secrets
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from member import Member

from pirate import __version__, record
from pirate.disk.identity import new_peer_id
from pirate.disk.tree import Shares
from pirate.library import Library
from pirate.model import Address, Announcement, Digest, Entry
from pirate.net.channel import Channel
from pirate.net.reception import Limits
from pirate.network import new_hello
from pirate.scope import Scope, Stop
from pirate.serve.handler import Handler
from pirate.serve.server import Server
from pirate.wire.catalog import Catalog
from pirate.wire.messages import Hello, Request

FILE_BYTES = 4096
JOIN_AT_ONCE = 16
_HOSTS_OF_A_NET = 250


def host(number: int) -> str:
    return f"127.1.{number // _HOSTS_OF_A_NET}.{number % _HOSTS_OF_A_NET + 1}"


class Doors:
    """The listening sockets of all peers, as the one that a reception has."""

    def __init__(self, count: int) -> None:
        with socket.create_server((host(0), 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.last = 0  # who has accepted last
        self._epoll = select.epoll()
        self._numbers: dict[int, int] = {}
        self._socks = []
        for number in range(count):
            sock = socket.create_server((host(number), self.port))
            sock.setblocking(False)
            self._epoll.register(sock, select.EPOLLIN)
            self._numbers[sock.fileno()] = number
            self._socks.append(sock)

    def fileno(self) -> int:
        """An epoll is itself readable if one of its sockets is."""
        return self._epoll.fileno()

    def setblocking(self, _: bool) -> None:  # noqa: FBT001 - as a socket has it
        """None of them blocks."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Of one of those that somebody is at; BlockingIOError if nobody is anywhere."""
        ready = self._epoll.poll(0, 1)
        if not ready:
            raise BlockingIOError
        self.last = self._numbers[ready[0][0]]
        return self._socks[self.last].accept()

    def close(self) -> None:
        """Close all."""
        for sock in self._socks:
            sock.close()
        self._epoll.close()


class Invented(Library):
    """Files that nobody can read."""

    def __init__(self, count: int) -> None:
        super().__init__(Shares(()), rescan=0)
        digests = sorted(Digest(secrets.token_bytes(Digest.SIZE)) for _ in range(count))
        entries = [Entry(digest, FILE_BYTES, (f"{digest}.bin",)) for digest in digests]
        self._catalog = Catalog(secrets.randbits(60), entries)


class Throng(NamedTuple):
    """All the peers, ascending by id."""

    doors: Doors
    hellos: Sequence[Hello]
    libraries: Sequence[Library]

    @classmethod
    def of(cls, count: int, files: int, folder: Path) -> "Throng":
        """So many peers, who listen."""
        ids = sorted(new_peer_id() for _ in range(count))
        hellos = [new_hello(f"peer-{number:05}", peer) for number, peer in enumerate(ids)]
        libraries: list[Library] = [Invented(files) for _ in ids]
        for place, number in enumerate((0, count // 2, count - 1)):
            libraries[number] = Library(Shares([str(folder / str(place))]), rescan=0)
            libraries[number].scan(Stop())
        return cls(Doors(count), hellos, libraries)

    def announcements(self) -> Iterator[Announcement]:
        """What they say of themselves."""
        for number, (hello, library) in enumerate(zip(self.hellos, self.libraries, strict=True)):
            yield Announcement(
                id=hello.peer,
                name=hello.name,
                addresses=(Address(host(number), self.doors.port),),
                version=__version__,
                revision=library.catalog.revision,
                files=len(library.catalog),
                size=library.catalog.size,
                started=time.time(),
                instance=secrets.token_hex(16),
            )

    def server(self) -> Server:
        """One server for all: who is asked is told by where."""
        handlers = {host(number): Handler(each) for number, each in enumerate(self.libraries)}

        def greet(guest: Address) -> Hello:
            return replace(self.hellos[self.doors.last], seen=str(guest))

        def answer(channel: Channel, number: int, request: Request, guest: str) -> None:
            handlers[channel.sock.getsockname()[0]].answer(channel, number, request, guest)

        listener = cast("socket.socket", self.doors)
        return Server(listener, greet, answer, limits=Limits(), drain=0.0)


async def play(members: Sequence[Member], started: str) -> None:
    """Let all of them join, then watch, say so, and live until stdin ends."""
    room, missing, all_there = asyncio.Semaphore(JOIN_AT_ONCE), len(members), asyncio.Event()

    def joined() -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            all_there.set()

    async def watch() -> None:
        await all_there.wait()
        revision = await members[0].list()
        for member in members:
            if member.watches:
                await member.watch(revision)
        print(started, flush=True)
        await asyncio.to_thread(sys.stdin.read)

    lives = [asyncio.create_task(member.live(room, joined)) for member in members]
    over = asyncio.create_task(watch())
    done, _ = await asyncio.wait([over, *lives], return_when=asyncio.FIRST_COMPLETED)
    for each in done:
        each.result()
    for each in lives:
        each.cancel()


def main() -> None:
    count, alive, files, ttl = (int(sys.argv[place]) for place in (1, 2, 3, 6))
    throng = Throng.of(count, files, Path(sys.argv[4]))
    announcements = list(throng.announcements())
    lively, others = announcements[:alive], announcements[alive:]
    size = sum(len(record.encode(each)) for each in announcements) / count
    with Scope() as scope:
        server = throng.server()
        scope.spawn("reception", lambda: server.run(scope.stop))

        async def live() -> None:
            members = [Member(sys.argv[5], ttl, each, count=count) for each in lively]
            if others:
                members.append(Member(sys.argv[5], ttl, *others))
            await play(members, json.dumps({"record_bytes": round(size, 1)}))

        asyncio.run(live())


if __name__ == "__main__":
    main()
