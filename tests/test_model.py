import pytest
from hypothesis import given
from hypothesis import strategies as st

from pirate.model import (
    DEFAULT_PORT,
    Address,
    Announcement,
    Digest,
    Peer,
    PeerId,
)

ABC = Digest(bytes.fromhex("a9993e364706816aba3e25717850c26c9cd0d89d"))
ANNE = PeerId(bytes(range(16)))
HOME = Address("10.0.0.1", 7070)
ANNOUNCED = Announcement(ANNE, "anne", (HOME, Address("10.0.0.2", 7070)), "0.1.0")


@pytest.mark.parametrize(("kind", "size"), [(Digest, 20), (PeerId, 16)])
def test_an_id_of_another_length_cannot_be_built(
    kind: type[Digest] | type[PeerId], size: int
) -> None:
    assert len(kind(bytes(size))) == size
    for wrong in (0, size - 1, size + 1):
        with pytest.raises(ValueError, match=f"has {size} bytes, not {wrong}"):
            kind(bytes(wrong))


def test_an_id_is_shown_as_hex_and_compared_as_bytes() -> None:
    assert str(ABC) == f"{ABC}" == "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert repr(ANNE) == "PeerId(000102030405060708090a0b0c0d0e0f)"
    assert bytes(ABC) == ABC
    assert {ABC: 1}[Digest(bytes(ABC))] == 1
    assert Digest(bytes(20)) < ABC


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("anne.local:0", ("anne.local", 0)),
        ("anne", ("anne", DEFAULT_PORT)),
        ("  anne:1 ", ("anne", 1)),
        (":65535", ("", 65535)),
        ("[::1]:80", ("::1", 80)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ("[::1]", ("::1", DEFAULT_PORT)),
    ],
)
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("anne:", "not a port"),
        ("anne:http", "not a port"),
        ("anne:65536", "not a port"),
        ("anne:-1", "not a port"),
        ("anne:\u0661", "not a port"),  # a digit, but not of ours
        ("::1", "write an IPv6 address as"),
        ("fe80::1:80", "write an IPv6 address as"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Address.parse(text)


@pytest.mark.parametrize("text", ["anne", "[::1]"])
def test_a_port_may_be_demanded(text: str) -> None:
    with pytest.raises(ValueError, match="a port is missing"):
        Address.parse(text, default_port=None)


hosts = st.from_regex(r"[a-z0-9.-]+", fullmatch=True) | st.ip_addresses().map(str)


@given(hosts, st.integers(0, 65535))
def test_an_address_is_read_as_it_is_shown(host: str, port: int) -> None:
    assert Address.parse(str(Address(host, port))) == (host, port)


@given(st.text())
def test_no_text_does_worse_than_a_value_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert 0 <= address.port <= 65535


def test_an_announced_peer_is_known_by_its_id() -> None:
    peer = Peer.announced(ANNOUNCED)
    assert (peer.key, str(peer)) == (ANNE, "anne (10.0.0.1:7070)")
    assert peer.announcement is ANNOUNCED


def test_a_peer_that_was_named_by_its_address_is_known_by_it_until_it_is_met() -> None:
    peer = Peer((HOME,))
    assert (peer.key, str(peer)) == (HOME, "10.0.0.1:7070")
    met = peer.met(ANNE, "anne")
    assert (met.key, str(met)) == (ANNE, "anne (10.0.0.1:7070)")


def test_a_peer_keeps_its_name_where_its_hello_has_none() -> None:
    assert Peer.announced(ANNOUNCED).met(ANNE, "").name == "anne"
