import ipaddress
import socket

import pytest

from pirate.model import Address
from pirate.net.interfaces import (
    FRESH_SECONDS,
    MOST_ADDRESSES,
    Interface,
    Interfaces,
    Whereabouts,
    look,
    reachable,
    ways_out,
)

LOOPBACK = ("lo 127.0.0.1/8", "lo ::1/128")
BOTH = (4, 6)


def interfaces(*lines: str) -> tuple[Interface, ...]:
    """Interfaces written as ``NAME ADDRESS/BITS``."""
    pairs = [line.split() for line in lines]
    return tuple(Interface(name, ipaddress.ip_interface(ip)) for name, ip in pairs)


def where(*lines: str, listen: str = "[::]:7070") -> Whereabouts:
    return Whereabouts(Address.parse(listen), None, Interfaces(lambda: interfaces(*lines)))


def test_our_own_interfaces_are_found() -> None:
    found = {str(interface.ip) for interface in look()}
    assert "127.0.0.1/8" in found


def test_the_way_out_is_one_of_our_own_addresses() -> None:
    ours = {str(interface.ip.ip) for interface in look()}
    assert set(ways_out()) <= ours


def test_the_way_out_comes_first_and_bridges_last() -> None:
    several = interfaces(
        *LOOPBACK,
        "docker0 172.17.0.1/16",
        "eth1 10.1.0.5/24",
        "br-1f2e 172.18.0.1/16",
        "wg0 10.9.0.2/24",
        "eth0 192.168.1.7/24",
    )
    assert reachable(several, ["192.168.1.7"], BOTH) == (
        "192.168.1.7",
        "10.1.0.5",
        "10.9.0.2",
        "172.17.0.1",
        "172.18.0.1",
    )


def test_a_bridge_that_is_the_way_out_comes_first() -> None:
    several = interfaces("eth1 10.1.0.5/24", "br-lan 192.168.1.1/24")
    assert reachable(several, ["192.168.1.1"], BOTH) == ("192.168.1.1", "10.1.0.5")


def test_ipv6_is_announced_behind_ipv4_but_never_link_local() -> None:
    several = interfaces("eth0 fe80::1/64", "eth0 fd00::7/64", "eth0 10.0.0.7/8")
    assert reachable(several, ["10.0.0.7", "fd00::7"], BOTH) == ("10.0.0.7", "fd00::7")
    assert reachable(several, ["10.0.0.7", "fd00::7"], (4,)) == ("10.0.0.7",)


def test_loopback_is_announced_only_where_there_is_nothing_else() -> None:
    assert reachable(interfaces(*LOOPBACK), [], BOTH) == ("127.0.0.1",)
    assert reachable((), [], BOTH) == ("127.0.0.1",)
    assert reachable(interfaces(*LOOPBACK, "eth0 10.0.0.7/8"), [], BOTH) == ("10.0.0.7",)


def test_no_more_than_fit_are_announced() -> None:
    many = interfaces(*(f"eth{n} 10.0.{n}.1/24" for n in range(20)), "docker0 172.17.0.1/16")
    found = reachable(many, ["10.0.19.1"], BOTH)
    assert len(found) == MOST_ADDRESSES
    assert found[:2] == ("10.0.19.1", "10.0.0.1")


@pytest.mark.parametrize(
    ("listen", "advertise", "addresses"),
    [
        ("10.0.0.7:7070", None, ("10.0.0.7:7070",)),
        ("127.0.0.1:7070", None, ("127.0.0.1:7070",)),
        ("[::1]:7070", None, ("[::1]:7070",)),
        ("[::]:7070", Address("192.0.2.1", 0), ("192.0.2.1:7070",)),
        ("10.0.0.7:7070", Address("192.0.2.1", 80), ("192.0.2.1:80",)),
    ],
)
def test_one_address_is_announced_where_the_user_says_so(
    listen: str, advertise: Address | None, addresses: tuple[str, ...]
) -> None:
    found = Whereabouts(Address.parse(listen), advertise).addresses
    assert tuple(map(str, found)) == addresses


def test_every_address_is_announced_with_the_port_that_is_listened_on() -> None:
    found = where("eth7 10.77.0.1/24", "eth8 fd77::1/64").addresses
    assert {Address("10.77.0.1", 7070), Address("fd77::1", 7070)} <= set(found)
    found = where("eth7 10.77.0.1/24", "eth8 fd77::1/64", listen="0.0.0.0:7070").addresses
    assert Address("10.77.0.1", 7070) in found
    assert not any(":" in address.host for address in found)


def test_a_change_of_interfaces_is_noticed_when_what_we_know_is_old() -> None:
    now, looks = [0.0], [interfaces("eth0 10.0.0.7/8"), interfaces("wlan0 192.168.1.7/24")]
    ours = Interfaces(lambda: looks.pop(0), clock=lambda: now[0])
    assert ours.now == interfaces("eth0 10.0.0.7/8")
    now[0] += FRESH_SECONDS - 1
    assert ours.now == interfaces("eth0 10.0.0.7/8")
    now[0] += 1
    assert ours.now == interfaces("wlan0 192.168.1.7/24")


def test_a_machine_without_a_way_out_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", unreachable)
    assert ways_out() == ()
