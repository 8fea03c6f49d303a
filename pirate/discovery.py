"""Where peers are looked for: the registries that the settings ask for.

``named`` are those that somebody has written down, etcd and single peers; ``around`` is whoever
is near. A server looks in all of them all the time, a command around only if it has to: that
takes a second.
"""

from collections.abc import Callable

from pirate.config import Settings
from pirate.errors import UsageError
from pirate.model import Address
from pirate.registry.base import Registry
from pirate.registry.static import StaticRegistry
from pirate.registry.union import Spare

Open = Callable[[], Registry]


def named(settings: Settings) -> list[Open]:
    """Etcd, if it is configured, and the peers that the user named."""
    places: list[Open] = []
    if settings.discovery == "etcd" and not settings.etcd:
        raise UsageError("--discovery etcd needs --etcd HOST:PORT")
    if uses_etcd(settings):
        places.append(lambda: open_etcd(settings))
    if settings.peers and settings.discovery != "none":
        places.append(lambda: StaticRegistry(settings.peers))
    return places


def around(settings: Settings) -> list[Open]:
    """MDNS; beside others it is not missed where there is no multicast."""
    if settings.discovery not in ("auto", "mdns"):
        return []
    if settings.discovery == "auto" and (settings.etcd or settings.peers):
        return [lambda: Spare(_mdns(settings))]
    return [lambda: _mdns(settings)]


def introducers(settings: Settings) -> tuple[Address, ...]:
    """The peers that are asked for those that they know: the named ones, unless no others count."""
    return settings.peers if settings.discovery in ("auto", "mdns") else ()


def unspecific(settings: Settings) -> bool:
    """Whether the user said nothing of where to look, so that whoever is near will do."""
    return settings.discovery == "auto" and not settings.etcd and not settings.peers


def uses_etcd(settings: Settings) -> bool:
    """Whether peers announce themselves in etcd."""
    return bool(settings.etcd) and settings.discovery in ("auto", "etcd")


def announces(settings: Settings) -> bool:
    """Whether peers announce themselves at all."""
    return uses_etcd(settings) or settings.discovery in ("auto", "mdns")


def open_etcd(settings: Settings) -> Registry:
    """The registry in the etcd that the settings name."""
    # 100 ms and 27 MB, for those who use it
    from pirate.registry.etcd import EtcdRegistry  # noqa: PLC0415

    return EtcdRegistry(settings.etcd, settings.ttl, access=settings.access)


def _mdns(settings: Settings) -> Registry:
    # 80 ms and 26 MB, likewise
    from pirate.registry.mdns import MdnsRegistry  # noqa: PLC0415

    return MdnsRegistry(settings.ttl, interfaces=settings.interfaces)
