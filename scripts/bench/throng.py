"""Many peers in one process, for `crowd`: real listeners, real announcements, real heartbeats.

usage: throng.py COUNT ALIVE FILES FOLDER ETCD TTL

Each peer has a host of its own (127.1.x.y), which listens, and answers by pirate's own reception
and handler. Most share FILES files that only their catalogs know of; those who are the first, the
middle and the last in etcd share what is below FOLDER/0, FOLDER/1 and FOLDER/2.
In etcd ALIVE of them have a connection, a lease and a key each, and send what `pirate serve` sends:
one is granted a lease, puts its record by a transaction, lists all others and watches them, renews
the lease within a third of the TTL, and lists and watches anew when its mirror is no more trusted.
What it hears is not decoded, so that a thousand ears do not need more than etcd itself.
The keys of the others are under one lease. When all are there it prints a line of JSON, and goes on
until stdin ends.
"""

import asyncio
import json
import random
import secrets
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import grpc.aio
from etcd3 import etcdrpc

from pirate import __version__, record
from pirate.disk.identity import new_peer_id
from pirate.disk.tree import Shares
from pirate.library import Library, Snapshot
from pirate.model import Address, Announcement, Digest, Entry
from pirate.net.channel import Channel
from pirate.net.reception import Limits
from pirate.network import new_hello
from pirate.policy.backoff import heartbeat_interval
from pirate.registry import etcd_client, etcd_mirror
from pirate.registry.etcd import PEERS_LIMIT, PREFIX
from pirate.scope import Scope, Stop
from pirate.serve.handler import Handler
from pirate.serve.server import Server
from pirate.wire.catalog import Catalog
from pirate.wire.messages import Hello, Request

FILE_BYTES = 4096
JOIN_AT_ONCE = 16
RPC_SECONDS = 20.0
PUTS_AT_ONCE = 100
_HOSTS_OF_A_NET = 250
_CHANNEL_OPTIONS = (*etcd_client._CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))  # noqa: SLF001
_METADATA = (("hasleader", "true"),)
_AFTER_PREFIX = (PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)).encode()


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
        catalog = Catalog(secrets.randbits(60), tuple(entries))
        self._snapshot = Snapshot(catalog, {}, {entry.digest: entry for entry in entries})


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


class Member:
    """What one peer does in etcd; or many, under one lease."""

    def __init__(self, etcd: str, ttl: int, *announcements: Announcement, count: int = 0) -> None:
        """Of several ``announcements`` nobody watches; ``count``: how many peers there are."""
        self._trusted = etcd_mirror.trusted_seconds(count)
        self._channel: Any = grpc.aio.insecure_channel(etcd, options=_CHANNEL_OPTIONS)
        self._leases = etcdrpc.LeaseStub(self._channel)
        self._keys = etcdrpc.KVStub(self._channel)
        # As bytes: what comes is thrown away.
        self._watch: Any = self._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=etcdrpc.WatchRequest.SerializeToString,
            response_deserializer=bytes,
        )
        self._stream: Any = None
        self._hearing: asyncio.Task[None] | None = None
        self._announcements = announcements
        self._ttl = ttl
        self._lease = 0
        self._rng = random.Random()

    async def join(self) -> None:
        """Be announced, and list all that are there."""
        grant = etcdrpc.LeaseGrantRequest(TTL=self._ttl)
        self._lease = (await self._ask(self._leases.LeaseGrant, grant)).ID
        for first in range(0, len(self._announcements), PUTS_AT_ONCE):
            await self._put(self._announcements[first : first + PUTS_AT_ONCE])
        await self._list()

    async def _put(self, announcements: Sequence[Announcement]) -> None:
        keys = [f"{PREFIX}{each.id}".encode() for each in announcements]
        absent = [
            etcdrpc.Compare(
                key=key, target=etcdrpc.Compare.MOD, result=etcdrpc.Compare.EQUAL, mod_revision=0
            )
            for key in keys
        ]
        puts = [
            etcdrpc.PutRequest(key=key, value=record.encode(each), lease=self._lease)
            for key, each in zip(keys, announcements, strict=True)
        ]
        transaction = etcdrpc.TxnRequest(
            compare=absent,
            success=[etcdrpc.RequestOp(request_put=put) for put in puts],
            failure=[
                etcdrpc.RequestOp(request_range=etcdrpc.RangeRequest(key=key)) for key in keys
            ],
        )
        if not (await self._ask(self._keys.Txn, transaction)).succeeded:
            raise RuntimeError("the key of a peer is taken")

    async def live(self) -> None:
        """Watch and beat, on and on; everybody listed the last time at another moment."""
        watches = len(self._announcements) == 1
        relist = time.monotonic() + self._rng.uniform(0, 0.75 * self._trusted)
        if watches:
            await self._mirror()
        while True:
            await asyncio.sleep(heartbeat_interval(self._ttl, self._rng))
            await self._renew()
            if watches and time.monotonic() > relist:
                await self._mirror()
                relist = time.monotonic() + self._rng.uniform(0.5, 1) * self._trusted

    async def _renew(self) -> None:
        ask = iter([etcdrpc.LeaseKeepAliveRequest(ID=self._lease)])
        stream = self._leases.LeaseKeepAlive(ask, timeout=RPC_SECONDS, metadata=_METADATA)
        answers = [answer async for answer in stream]
        if not answers or not answers[-1].TTL:
            raise RuntimeError("a lease is lost")

    async def _list(self) -> int:
        """The revision of etcd."""
        everybody = etcdrpc.RangeRequest(
            key=PREFIX.encode(), range_end=_AFTER_PREFIX, limit=PEERS_LIMIT
        )
        answer = await self._ask(self._keys.Range, everybody)
        return cast("int", answer.header.revision)

    async def _mirror(self) -> None:
        revision = await self._list()
        if self._stream:
            self._stream.cancel()
        create = etcdrpc.WatchCreateRequest(
            key=PREFIX.encode(), range_end=_AFTER_PREFIX, start_revision=revision + 1
        )
        self._stream = self._watch(metadata=_METADATA)
        await self._stream.write(etcdrpc.WatchRequest(create_request=create))
        self._hearing = asyncio.create_task(self._hear(self._stream))

    async def _hear(self, stream: Any) -> None:  # noqa: ANN401 - of the untyped client
        with suppress(asyncio.CancelledError):
            while await stream.read():
                pass

    async def _ask(self, method: Any, request: Any) -> Any:  # noqa: ANN401 - likewise
        return await method(request, timeout=RPC_SECONDS, metadata=_METADATA)


async def play(members: Sequence[Member], started: str) -> None:
    """Let all of them join, say so, and live until stdin ends."""
    room = asyncio.Semaphore(JOIN_AT_ONCE)

    async def join(member: Member) -> None:
        async with room:
            await member.join()

    await asyncio.gather(*map(join, members))
    lives = [asyncio.create_task(member.live()) for member in members]
    print(started, flush=True)
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
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
