from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_record import OURS, announcements

from pirate.errors import ProtocolError
from pirate.model import Address, Announcement, PeerId
from pirate.registry import txt

STRINGS = (
    "txtvers=1",
    "address=10.0.0.3:7070",
    "address=[fe80::3]:7070",
    "name=n3",
    "version=1.0.0",
    "revision=7",
    "files=812",
    "size=99120000000",
    "started=1700000000.500",
)


def written(strings: Sequence[str | bytes]) -> bytes:
    raw = [text if isinstance(text, bytes) else text.encode() for text in strings]
    return b"".join(bytes([len(text)]) + text for text in raw)


def changed(old: str, *new: str | bytes) -> bytes:
    at = STRINGS.index(old)
    return written([*STRINGS[:at], *new, *STRINGS[at + 1 :]])


def read(data: bytes) -> Announcement:
    return txt.decode(str(OURS.id), data)


def test_a_record_is_one_string_for_each_key() -> None:
    assert txt.encode(OURS) == written(STRINGS)
    assert read(written(STRINGS)) == OURS


@given(announcements)
def test_what_is_written_is_what_is_read(announcement: Announcement) -> None:
    rounded = replace(announcement, started=round(announcement.started, 3))
    assert txt.decode(str(announcement.id), txt.encode(rounded)) == rounded


def test_an_ordinary_record_is_below_400_bytes_and_the_longest_fits_into_a_packet() -> None:
    assert len(txt.encode(replace(OURS, name="a-rather-long-host-name.example.org"))) < 400
    address = Address("fe80:1111:2222:3333:4444:5555:6666:7777", 65535)
    top = 2**64 - 1
    longest = Announcement(
        PeerId(bytes(16)), "é" * 32, (address,) * 8, "v" * 32, top, top, top, 4e9, "f" * 32
    )
    assert len(txt.encode(longest)) < 800


def test_keys_that_nobody_knows_are_ignored_and_the_first_of_equal_ones_counts() -> None:
    assert read(written([*STRINGS, "colour=red", "flag", "=", "", "name=other", "size=x"])) == OURS


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        written(STRINGS[1:]),
        written(["txtvers=2", *STRINGS[1:]]),
        written(STRINGS)[:-1],
        written([*STRINGS, "x" * 255, "x" * 255, "x" * 255, "x" * 255, "x" * 255]),
        changed("name=n3", b"name=\xff"),
        changed("name=n3", "name=" + "n" * 65),
        changed("name=n3"),
        changed("version=1.0.0", "version=" + "1" * 33),
        changed("address=10.0.0.3:7070", *["address=10.0.0.3:7070"] * 8),
        changed("address=10.0.0.3:7070", "address=example.org:7070"),
        changed("address=10.0.0.3:7070", "address=0.0.0.0:7070"),
        changed("address=10.0.0.3:7070", "address=224.0.0.251:5353"),
        changed("address=10.0.0.3:7070", "address=10.0.0.3:0"),
        changed("address=10.0.0.3:7070", "address=[fe80::1%eth0]:7070"),
        changed("revision=7", "revision=-1"),
        changed("revision=7", "revision=18446744073709551616"),
        changed("revision=7", "revision=\u0667"),
        changed("files=812", "files="),
        changed("size=99120000000", "size=1e3"),
        changed("started=1700000000.500", "started=nan"),
        changed("started=1700000000.500", "started=999999999999"),
        changed("started=1700000000.500", "started"),
        written([*STRINGS, "instance=here"]),
    ],
)
def test_what_is_no_announcement_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data)


@pytest.mark.parametrize("instance", ["", "n3", "0" * 31, "0" * 33, "A" * 32, "0" * 31 + "\ud800"])
def test_an_instance_that_is_no_peer_id_is_refused(instance: str) -> None:
    with pytest.raises(ProtocolError):
        txt.decode(instance, written(STRINGS))


@given(st.binary(max_size=300) | st.lists(st.binary(max_size=40)).map(written))
def test_noise_raises_protocol_errors_only(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data)


def test_an_announcement_that_nobody_would_accept_is_not_written() -> None:
    for wrong in (replace(OURS, name="n" * 300), replace(OURS, addresses=())):
        with pytest.raises(ValueError, match="announcement"):
            txt.encode(wrong)
