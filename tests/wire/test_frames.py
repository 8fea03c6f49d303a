import pytest
from hypothesis import given
from strategies import headers, largest

from pirate.errors import ProtocolError
from pirate.wire.fields import layout
from pirate.wire.frames import CONTROL_LIMIT, DATA_LIMIT, HEADER_SIZE, LIMITS, Header, Kind
from pirate.wire.messages import MESSAGES

STAT = bytes.fromhex("9e70 12 01 00000007 00000014")


def test_a_header_is_laid_out_as_specified() -> None:
    assert Header(Kind.STAT, end=True, request=7, length=20).encode() == STAT
    assert Header.decode(STAT) == (Kind.STAT, True, 7, 20)


@given(headers())
def test_a_header_survives_the_wire(header: Header) -> None:
    data = header.encode()
    assert len(data) == HEADER_SIZE
    assert Header.decode(data) == header
    assert Header.decode(memoryview(bytearray(data))) == header


def test_every_kind_has_a_limit_and_nothing_else_has_one() -> None:
    assert set(LIMITS) == set(Kind)


def test_every_kind_but_data_is_a_message() -> None:
    assert set(MESSAGES) == set(Kind) - {Kind.DATA}
    assert all(kind == message.KIND for kind, message in MESSAGES.items())


@pytest.mark.parametrize(
    "kind", sorted(set(MESSAGES) - {Kind.ENTRIES, Kind.FOUND}), ids=lambda kind: kind.name
)
def test_the_largest_message_of_a_kind_is_within_its_limit(kind: Kind) -> None:
    assert sum(map(largest, layout(MESSAGES[kind]).values())) <= LIMITS[kind]


@pytest.mark.parametrize("kind", Kind)
def test_a_body_may_be_as_long_as_its_kind_allows_and_no_longer(kind: Kind) -> None:
    limit = LIMITS[kind]
    assert Header.decode(Header(kind, end=True, request=1, length=limit).encode()).length == limit
    with pytest.raises(ProtocolError, match=f"announces {limit + 1} bytes"):
        Header.decode(Header(kind, end=True, request=1, length=limit + 1).encode())


@pytest.mark.parametrize("kind", [0x00, 0x18, 0x7F, 0x80, 0xFF])
def test_a_kind_that_nobody_knows_has_a_limit_too(kind: int) -> None:
    within = Header(kind, end=True, request=1, length=CONTROL_LIMIT)
    assert Header.decode(within.encode()) == within
    with pytest.raises(ProtocolError, match="announces"):
        Header.decode(within._replace(length=DATA_LIMIT).encode())


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0", STAT[1:] + b"\0"]
)
def test_a_stray_protocol_or_a_lost_byte_is_caught_at_the_first_header(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not pirate's protocol"):
        Header.decode(data)


@pytest.mark.parametrize("flags", [0x02, 0x03, 0x80, 0xFF])
def test_flags_that_nobody_knows_are_refused(flags: int) -> None:
    with pytest.raises(ProtocolError, match="unknown flags"):
        Header.decode(STAT[:3] + bytes([flags]) + STAT[4:])
