"""The registry that nobody has to set up: peers on one LAN hear each other by multicast DNS.

mDNS would keep a peer that died for up to 75 minutes. So only the TXT record counts here: it
lives little longer than a lease, each heartbeat sends it anew, and who has not been heard for
as long as it lives is gone.

Importing this module loads zeroconf, so it is imported only where peers are looked for by it.
"""

import asyncio
import math
import socket
from collections.abc import Callable, Container, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeGuard, cast

from zeroconf import (  # type: ignore[attr-defined]
    DNSPointer,
    DNSRecord,
    DNSText,
    Error,
    InterfaceChoice,
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from pirate.deadline import Deadline
from pirate.errors import ClashError, RegistryError
from pirate.model import Announcement, Peer
from pirate.registry import txt
from pirate.registry.ear import Ear

SERVICE = "_pirate._tcp.local."

# Who asks first waits for answers, as long as a responder may take: it must not multicast again
# what it did within the last second. Direct answers are free of that rule, so they may end it.
COLD_SECONDS = 1.5

_CLOSE_SECONDS = 1.0
_MOST_SECONDS = 60.0  # no step takes as long, and a future cannot wait for ever


class MdnsRegistry:
    """Our voice and our ear on the LAN.

    ``ttl`` seconds after the last announcement others stop seeing us, give or take one.
    ``interfaces`` are addresses of ours; without any, all interfaces are used that can
    multicast, also those that appear later. Nothing is sent before the first call.
    """

    kind = "mdns"
    problem = None

    def __init__(
        self, ttl: float = 15.0, *, interfaces: Sequence[str] = (), service: str = SERVICE
    ) -> None:
        # Lives are whole seconds, and what repeats within 0.8 s is not heard.
        self._life = math.ceil(ttl) + 1
        self._interfaces = interfaces
        self._service = service
        self._ear = Ear(service)
        self._zeroconf: Zeroconf | None = None
        self._version: IPVersion | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._direct: AsyncZeroconf | None = None  # who asks first, from a port of its own
        self._settled = False
        self._said: Announcement | None = None
        self._info: ServiceInfo | None = None
        self._lapse: asyncio.TimerHandle | None = None

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """See ``Registry``: says it once; whoever asks is told, too, until it runs out."""
        if self._said and self._said.id != announcement.id:
            self.withdraw(deadline)
        if rival := self._ear.rival:
            self._said = self._info = None
            self._ear.fall_silent()
            self._do(self._fall_silent, deadline)
            raise ClashError(f"the peer {Peer.announced(rival)} has our id {rival.id}")
        if self._info is None or announcement != self._said:
            self._info, self._said = self._described(announcement), announcement
        self._do(partial(self._say, self._info), deadline)
        self._ear.speak(announcement, self._life)

    def withdraw(self, deadline: Deadline) -> None:
        """See ``Registry``: says goodbye."""
        if self._info and self._zeroconf:
            self._do(partial(self._leave, self._info), deadline)
            self._said = self._info = None
            self._ear.fall_silent()

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """See ``Registry``: who has been heard; the first time it waits for answers, bounded."""
        self._do(self._listen, deadline)
        if not self._settled:
            try:
                self._do(self._ask, deadline)
                self._ear.listen(deadline.at_most(COLD_SECONDS))
            finally:
                self._do(self._asked, Deadline(_CLOSE_SECONDS))
            self._settled = True
        return tuple(Peer.announced(each, self.kind) for each in self._ear.heard())

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``Registry``; of those who fall silent without a goodbye nobody tells."""
        self._ear.tell(changed)

    def close(self) -> None:
        """See ``Registry``."""
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf:
            with suppress(RegistryError, Error, OSError, RuntimeError):
                self._run(self._end(zeroconf), zeroconf, _CLOSE_SECONDS)
                zeroconf.close()  # it would wait for 13 s for a thread of its own that hangs

    def _do(
        self, step: Callable[[Zeroconf], Coroutine[Any, Any, None]], deadline: Deadline
    ) -> None:
        """Let zeroconf's thread take one step; RegistryError if it cannot, or not in time."""
        if deadline.passed:
            raise RegistryError("no time left to speak mDNS")
        zeroconf = self._zeroconf = self._zeroconf or self._open()
        self._run(step(zeroconf), zeroconf, min(deadline.left, _MOST_SECONDS))

    def _run(self, step: Coroutine[Any, Any, None], zeroconf: Zeroconf, seconds: float) -> None:
        loop = cast("asyncio.AbstractEventLoop", zeroconf.loop)  # it runs once we have it
        future = asyncio.run_coroutine_threadsafe(step, loop)
        try:
            future.result(seconds)
        except TimeoutError as error:
            future.cancel()
            raise RegistryError("mDNS was not ready in time") from error
        except (Error, OSError, RuntimeError) as error:
            raise RegistryError(f"no mDNS here: {error}") from error

    def _open(self) -> Zeroconf:
        try:
            zeroconf = self._opened()
        except OSError as error:
            raise RegistryError(f"no mDNS here: {error.strerror or error}") from error
        except (Error, RuntimeError) as error:
            raise RegistryError("no mDNS here: no network interface is up") from error
        zeroconf.add_listener(_Listener(self._service, self._ear), None)
        return zeroconf

    def _opened(self) -> Zeroconf:
        choice = self._choice()
        if not choice:
            raise OSError(f"no interface has {' or '.join(self._interfaces)}")
        if self._interfaces:
            return Zeroconf(choice)
        try:
            self._version = IPVersion.All
            return Zeroconf(choice, ip_version=self._version)
        except OSError:  # a system without IPv6
            self._version = IPVersion.V4Only
            return Zeroconf(choice, ip_version=self._version)

    def _choice(self) -> list[str] | InterfaceChoice:
        """The interfaces to use, as far as they are there: another one would be an error."""
        if self._interfaces:
            return [address for address in self._interfaces if _is_ours(address)]
        return InterfaceChoice.All

    def _described(self, announcement: Announcement) -> ServiceInfo:
        """What zeroconf says for us; to the world's other browsers we are a service like any."""
        return ServiceInfo(
            self._service,
            f"{announcement.id}.{self._service}",
            port=announcement.addresses[0].port,
            properties=txt.encode(announcement),
            server=f"{announcement.id}.local.",
            host_ttl=self._life,
            other_ttl=self._life,
            parsed_addresses=[address.host for address in announcement.addresses],
        )

    # What zeroconf's thread does for us.

    async def _ready(self, zeroconf: Zeroconf) -> None:
        """Follow a host that changes its networks; RegistryError if there is none now."""
        await zeroconf.async_update_interfaces(self._choice())
        if not zeroconf.engine.senders:
            raise RegistryError("no network interface can multicast")

    async def _say(self, info: ServiceInfo, zeroconf: Zeroconf) -> None:
        await self._ready(zeroconf)
        known = zeroconf.registry.async_get_info_name(info.key)
        if known is None:
            zeroconf.registry.async_add(info)
        elif known is not info:
            zeroconf.registry.async_update(info)
            _hush(zeroconf)
        zeroconf.async_send(zeroconf.generate_service_broadcast(info, None))
        self._lapse_after(zeroconf, info)

    def _lapse_after(self, zeroconf: Zeroconf, info: ServiceInfo) -> None:
        """Answer no question any more when the lease has run out."""
        if self._lapse:
            self._lapse.cancel()
        loop = asyncio.get_running_loop()
        self._lapse = loop.call_later(self._life, zeroconf.registry.async_remove, info)

    async def _leave(self, info: ServiceInfo, zeroconf: Zeroconf) -> None:
        await self._ready(zeroconf)
        goodbye = await zeroconf.async_unregister_service(info)
        _hush(zeroconf)
        await goodbye

    async def _fall_silent(self, zeroconf: Zeroconf) -> None:
        """Without a goodbye, which would be the other's as well who has our id."""
        zeroconf.registry.async_remove(zeroconf.registry.async_get_service_infos())
        _hush(zeroconf)

    async def _listen(self, zeroconf: Zeroconf) -> None:
        """Ask with everybody's port, so that everybody hears the answers, again and again."""
        await self._ready(zeroconf)
        if self._browser is None:
            self._browser = AsyncServiceBrowser(zeroconf, self._service, [_ignore])

    async def _ask(self, zeroconf: Zeroconf) -> None:
        """Ask with a port of our own: each answers directly and at once.

        The answers to the other question may come late, or go to another process of this host.
        """
        direct = AsyncZeroconf(self._choice(), unicast=True, ip_version=self._version)
        self._direct = direct
        listener = _DirectListener(self._service, self._ear, zeroconf)
        direct.zeroconf.async_add_listener(listener, None)
        AsyncServiceBrowser(direct.zeroconf, self._service, [_ignore])

    async def _asked(self, _: Zeroconf) -> None:
        direct, self._direct = self._direct, None
        if direct:
            await direct.async_close()

    async def _end(self, zeroconf: Zeroconf) -> None:
        """Zeroconf's own end would say goodbye three times, and wait in between."""
        await self._asked(zeroconf)
        if goodbye := zeroconf.generate_unregister_all_services():
            zeroconf.async_send(goodbye)


def _hush(zeroconf: Zeroconf) -> None:
    """Drop the answers that wait for their turn, for up to 1.2 s: what they say is true no more.

    Behind a goodbye one would bring us back, for as long as a lease.
    """
    for waiting in (zeroconf.out_queue, zeroconf.out_delay_queue):
        waiting.queue.clear()


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


class _Listener(RecordUpdateListener):
    """Zeroconf's way to our ear."""

    def __init__(self, service: str, ear: Ear) -> None:
        self._service = service.lower()
        self._ear = ear
        self._hosts: Container[str] | None = None

    def async_update_records(self, _: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Take in what came in one packet, or what zeroconf has just found to be expired."""
        for update in records:
            record = update.new
            if not record.ttl:
                self._part(record)
            elif self._is_word(record) and not record.is_expired(now):
                self._ear.note(record.key, record.text, record.ttl, self._hosts)

    def _part(self, record: DNSRecord) -> None:
        if self._is_word(record):
            self._ear.part(record.key)
        elif isinstance(record, DNSPointer) and record.key == self._service:
            self._ear.part(record.alias_key)

    def _is_word(self, record: DNSRecord) -> TypeGuard[DNSText]:
        return isinstance(record, DNSText) and record.key.endswith(f".{self._service}")


class _DirectListener(_Listener):
    """Hears direct answers, and tells ``zeroconf``: it is deaf to the goodbyes of strangers."""

    def __init__(self, service: str, ear: Ear, zeroconf: Zeroconf) -> None:
        super().__init__(service, ear)
        self._hosts = {sender.sock_name[0] for sender in zeroconf.engine.senders}
        self._zeroconf = zeroconf

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """See ``_Listener``."""
        super().async_update_records(zc, now, records)
        alive = [update.new for update in records if not update.new.is_expired(now)]
        self._zeroconf.cache.async_add_records(alive)


def _ignore(**_: object) -> None:
    """What a browser tells of services: it is there to ask."""
