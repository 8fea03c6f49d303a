import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pirate import record
from pirate.errors import ProtocolError
from pirate.model import Address, Announcement, PeerId

OURS = Announcement(
    id=PeerId(bytes(range(16))),
    name="n3",
    addresses=(Address("10.0.0.3", 7070), Address("fe80::3", 7070)),
    version="1.0.0",
    revision=7,
    files=812,
    size=99_120_000_000,
    started=1_700_000_000.5,
)
LONGEST = Address("fe80:1111:2222:3333:4444:5555:6666:7777", 65535)
WRITTEN = (
    b'{"id":"000102030405060708090a0b0c0d0e0f","name":"n3",'
    b'"addresses":["10.0.0.3:7070","[fe80::3]:7070"],"version":"1.0.0",'
    b'"revision":7,"files":812,"size":99120000000,"started":1700000000.5}'
)

u64 = st.integers(0, 2**64 - 1)
# Control characters grow sixfold in JSON; they have a test of their own.
printable = st.characters(exclude_categories=["Cc", "Cs"])
numeric = st.builds(
    lambda ip, port: Address(str(ip), port),
    st.ip_addresses().filter(lambda ip: not (ip.is_multicast or ip.is_unspecified)),
    st.integers(1, 65535),
)
announcements = st.builds(
    Announcement,
    id=st.binary(min_size=16, max_size=16).map(PeerId),
    name=st.text(printable, max_size=64).filter(lambda name: len(name.encode()) <= 64),
    addresses=st.lists(numeric, min_size=1, max_size=8).map(tuple),
    version=st.text("0123456789.abrc+", max_size=32),
    revision=u64,
    files=u64,
    size=u64,
    started=st.floats(0, 4e9),
    instance=st.just("") | st.binary(min_size=16, max_size=16).map(bytes.hex),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def with_field(name: str, value: Any) -> bytes:
    return json.dumps({**json.loads(WRITTEN), name: value}).encode()


def test_a_record_is_compact_json() -> None:
    assert record.encode(OURS) == WRITTEN


@given(announcement=announcements)
def test_what_is_written_reads_back_the_same(announcement: Announcement) -> None:
    data = record.encode(announcement)
    assert record.decode(data) == announcement
    assert len(data) <= 1024


def test_unknown_fields_are_ignored() -> None:
    assert record.decode(with_field("features", ["later"])) == OURS


def test_the_instance_is_written_if_there_is_one_and_may_be_missing() -> None:
    ours = replace(OURS, instance="0123456789abcdef" * 2)
    written = with_field("instance", ours.instance)
    assert json.loads(record.encode(ours)) == json.loads(written)
    assert record.decode(written) == ours
    assert record.decode(WRITTEN).instance == ""


def test_a_moment_may_be_a_whole_number() -> None:
    assert record.decode(with_field("started", 5)).started == 5.0


@pytest.mark.parametrize("name", json.loads(WRITTEN))
def test_every_field_is_needed(name: str) -> None:
    fields = json.loads(WRITTEN)
    del fields[name]
    with pytest.raises(ProtocolError, match=name):
        record.decode(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "00" * 15),
        ("id", "0g" * 16),
        ("id", "0A" * 16),
        ("id", " 0" * 16),
        ("id", "00" * 16 + "\n"),
        ("id", 5),
        ("name", "n" * 65),
        ("name", "é" * 33),
        ("name", "\ud800"),
        ("name", ["n"]),
        ("version", "1" * 33),
        ("revision", -1),
        ("revision", 2**64),
        ("revision", True),
        ("revision", 7.0),
        ("files", "812"),
        ("size", 10**400),
        ("started", True),
        ("started", -1.0),
        ("started", 1e300),
        ("started", 10**400),
        ("started", float("nan")),
        ("started", float("inf")),
        ("addresses", []),
        ("addresses", "10.0.0.3:7070"),
        ("addresses", {"10.0.0.3:7070": 1}),
        ("addresses", [7070]),
        ("addresses", ["10.0.0.3"]),
        ("addresses", ["10.0.0.3:0"]),
        ("addresses", ["10.0.0.3:65536"]),
        ("addresses", ["10.0.0.3:-1"]),
        ("addresses", ["10.0.0.3:" + "7" * 3000]),
        ("addresses", [":7070"]),
        ("addresses", ["victim.example:80"]),
        ("addresses", ["010.0.0.3:7070"]),
        ("addresses", ["167772163:7070"]),
        ("addresses", ["fe80::3:7070"]),
        ("addresses", ["[fe80::3%eth0]:7070"]),
        ("addresses", ["0.0.0.0:7070"]),
        ("addresses", ["[::]:7070"]),
        ("addresses", ["224.0.0.251:5353"]),
        ("addresses", ["10.0.0.3:\u0667\u0660"]),
        ("addresses", [f"10.0.0.{last}:7070" for last in range(9)]),
    ],
)
def test_a_wrong_field_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ProtocolError, match=name):
        record.decode(with_field(name, value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 4096,
        b'{"a":' * 800,
        b"1" * 4096,
        WRITTEN[:-1],
        WRITTEN + b"}",
        WRITTEN.decode().encode("utf-16"),
        WRITTEN.replace(b"n3", b"\xff"),
        WRITTEN.replace(b"1700000000.5", b"1e999"),
        WRITTEN.replace(b"812", b"9" * 3500),
        WRITTEN + b" " * 4096,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        record.decode(data)


@given(data=st.binary(max_size=300))
@example(b'"\\ud800"')
def test_garbage_raises_nothing_but_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        record.decode(data)


@given(at=st.integers(0, len(WRITTEN) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_raises_nothing_but_protocol_error(at: int, byte: int) -> None:
    data = bytearray(WRITTEN)
    data[at] = byte
    with contextlib.suppress(ProtocolError):
        record.decode(bytes(data))


@given(name=st.sampled_from(list(json.loads(WRITTEN))), value=json_values)
def test_any_json_in_a_field_raises_nothing_but_protocol_error(name: str, value: Any) -> None:
    try:
        announcement = record.decode(with_field(name, value))
    except ProtocolError:
        return
    assert record.decode(record.encode(announcement)) == announcement


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "n" * 65},
        {"name": "\ud800"},
        {"addresses": ()},
        {"addresses": (Address("localhost", 7070),)},
        {"started": float("nan")},
        {"name": "\x01" * 64, "version": "\x01" * 32, "addresses": (LONGEST,) * 8},
    ],
)
def test_what_others_would_refuse_is_not_written(changes: dict[str, Any]) -> None:
    fields = {name: getattr(OURS, name) for name in Announcement.__dataclass_fields__}
    with pytest.raises(ValueError, match=r"announcement|surrogates|JSON"):
        record.encode(Announcement(**{**fields, **changes}))
