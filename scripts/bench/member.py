"""What one peer of many does in etcd, for `throng`: the requests that `pirate serve` sends."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import grpc.aio
from etcd3 import etcdrpc

from pirate import record
from pirate.model import Announcement
from pirate.policy.backoff import heartbeat_interval
from pirate.registry import etcd_client, etcd_mirror
from pirate.registry.etcd import PEERS_LIMIT, PREFIX

RPC_SECONDS = 20.0
PUTS_AT_ONCE = 100

_CHANNEL_OPTIONS = (*etcd_client._CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))  # noqa: SLF001
_METADATA = (("hasleader", "true"),)
_AFTER_PREFIX = (PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)).encode()


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
        self.watches = len(announcements) == 1
        self._ttl = ttl
        self._lease = 0
        self._rng = random.Random()

    async def _join(self) -> None:
        grant = etcdrpc.LeaseGrantRequest(TTL=self._ttl)
        self._lease = (await self._ask(self._leases.LeaseGrant, grant)).ID
        for first in range(0, len(self._announcements), PUTS_AT_ONCE):
            await self._put(self._announcements[first : first + PUTS_AT_ONCE])
        await self.list()

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

    async def live(self, room: asyncio.Semaphore, joined: Callable[[], None]) -> None:
        """Join when there is room, and beat, on and on.

        When it listed the last time is another moment for everybody.
        """
        async with room:
            await self._join()
        joined()
        relist = time.monotonic() + self._rng.uniform(0, 0.75 * self._trusted)
        while True:
            await asyncio.sleep(heartbeat_interval(self._ttl, self._rng))
            await self._renew()
            if self._stream and time.monotonic() > relist:
                await self.watch(await self.list())
                relist = time.monotonic() + self._rng.uniform(0.5, 1) * self._trusted

    async def _renew(self) -> None:
        ask = iter([etcdrpc.LeaseKeepAliveRequest(ID=self._lease)])
        stream = self._leases.LeaseKeepAlive(ask, timeout=RPC_SECONDS, metadata=_METADATA)
        answers = [answer async for answer in stream]
        if not answers or not answers[-1].TTL:
            raise RuntimeError("a lease is lost")

    async def list(self) -> int:
        """List all who are there; gives the revision of etcd."""
        everybody = etcdrpc.RangeRequest(
            key=PREFIX.encode(), range_end=_AFTER_PREFIX, limit=PEERS_LIMIT
        )
        answer = await self._ask(self._keys.Range, everybody)
        return cast("int", answer.header.revision)

    async def watch(self, revision: int) -> None:
        """Hear of what changes after a revision."""
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
