import ipaddress

import pytest

from pirate.policy.near import Surroundings

LAN = ipaddress.ip_interface("203.0.113.7/24")
HOME = ipaddress.ip_interface("192.168.1.7/24")
ULA = ipaddress.ip_interface("fd00::7/64")
LOOPBACK = ipaddress.ip_interface("127.0.0.1/8")
DOCKER = ipaddress.ip_interface("172.17.0.1/16")
ALLOWED = ipaddress.ip_network("198.51.100.0/24")

AROUND = Surroundings.of((LOOPBACK, LAN, HOME, ULA), (DOCKER,), (ALLOWED,))


@pytest.mark.parametrize(
    ("host", "distance"),
    [
        ("192.168.1.8", 0),
        ("203.0.113.8", 0),
        ("fd00::8", 0),
        ("10.1.2.3", 1),
        ("172.17.0.2", 1),
        ("192.168.2.1", 1),
        ("100.64.0.1", 1),
        ("169.254.1.1", 1),
        ("fd99::1", 1),
        ("198.51.100.9", 2),
        ("192.168.1.7", 3),
        ("172.17.0.1", 3),
        ("fd00::7", 3),
        ("127.0.0.1", 4),
        ("127.3.2.1", 4),
        ("::1", 4),
    ],
)
def test_the_nearest_is_tried_first(host: str, distance: int) -> None:
    assert AROUND.distance(host) == distance


@pytest.mark.parametrize(
    "host",
    ["8.8.8.8", "203.0.114.1", "2001:db8::1", "::ffff:8.8.8.8", "::ffff:10.0.0.1", "victim", ""],
)
def test_what_is_not_of_our_networks_or_is_no_number_is_not_dialled(host: str) -> None:
    assert AROUND.distance(host) is None


def test_an_interface_that_all_the_world_is_behind_makes_nobody_a_neighbour() -> None:
    tunnel = ipaddress.ip_interface("10.8.0.2/0")
    assert Surroundings.of((tunnel,), (), ()).distance("8.8.8.8") is None


def test_nothing_is_around_a_host_that_does_not_tell_its_interfaces() -> None:
    assert Surroundings().distance("8.8.8.8") is None
    assert Surroundings().distance("10.0.0.1") == 1
