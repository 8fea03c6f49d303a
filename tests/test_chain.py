import hashlib
from random import Random

import pytest
from chains import chain_of, false_chain, invented_chain, small_segments, some_data
from hypothesis import given
from hypothesis import strategies as st

from pirate.chain import (
    INITIAL,
    LEAST_SEGMENT,
    MIB,
    MOST_BYTES,
    MOST_LINKS,
    NO_CHAIN,
    Chain,
    Link,
    segment_size,
    segments,
    telling_segments,
)
from pirate.disk.sha1 import Sha1
from pirate.model import Digest

GIB = 1024 * MIB
SOME = Digest(bytes(range(20)))

sizes = st.integers(0, 2**64 - 1) | st.integers(0, 64).flatmap(
    lambda bits: st.integers(max(0, 2**bits - 2), 2**bits + 2)
)


@pytest.fixture(name="small")
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_segments(monkeypatch)


def holds(chain: Chain, index: int, data: bytes) -> bool:
    before, after, _ = chain.link(index)
    sha1 = Sha1(before, chain.start(index))
    sha1.update(memoryview(bytearray(data)))
    return after == (sha1.digest() if index == chain.count - 1 else sha1.state())


def cut(chain: Chain, data: bytes) -> list[bytes]:
    return [
        data[chain.start(index) : chain.start(index) + chain.length(index)]
        for index in range(chain.count)
    ]


# How a file is cut.


@pytest.mark.parametrize(
    ("size", "segment", "count"),
    [
        (0, LEAST_SEGMENT, 1),
        (1, LEAST_SEGMENT, 1),
        (LEAST_SEGMENT, LEAST_SEGMENT, 1),
        (LEAST_SEGMENT + 1, LEAST_SEGMENT, 2),
        (32 * MIB, LEAST_SEGMENT, 512),
        (32 * MIB + 1, 2 * LEAST_SEGMENT, 257),
        (512 * MIB, MIB, 512),
        (512 * MIB + 1, MIB, 513),
        (16 * GIB, MIB, 16384),
        (16 * GIB + 1, 2 * MIB, 8193),
        (MOST_BYTES, 64 * MIB, 16384),
    ],
)
def test_segments_grow_with_the_file(size: int, segment: int, count: int) -> None:
    assert (segment_size(size), segments(size)) == (segment, count)


@given(sizes)
def test_a_segment_is_a_power_of_two_of_at_least_64_kib(size: int) -> None:
    segment = segment_size(size)
    assert segment.bit_count() == 1
    assert segment >= LEAST_SEGMENT
    assert segment <= MIB or size > 16 * GIB


@given(sizes)
def test_a_file_has_enough_segments_and_never_too_many(size: int) -> None:
    assert segments(size) <= MOST_LINKS
    assert segments(size) > 256 or size <= 32 * MIB
    assert (segments(size) - 1) * segment_size(size) < max(1, size)
    assert segments(size) * segment_size(size) >= size


@given(sizes, sizes)
def test_a_larger_file_has_no_smaller_segments(one: int, other: int) -> None:
    assert segment_size(min(one, other)) <= segment_size(max(one, other))


# What a chain is.


@pytest.mark.parametrize(
    ("size", "states"),
    [(0, 20), (1, 20), (LEAST_SEGMENT + 1, 0), (LEAST_SEGMENT + 1, 19), (4 * LEAST_SEGMENT, 80)],
)
def test_a_chain_with_another_number_of_states_cannot_be_built(size: int, states: int) -> None:
    with pytest.raises(ValueError, match="bytes of states"):
        Chain(SOME, size, bytes(states))


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 2**64 - 1])
def test_a_size_that_would_need_too_much_memory_has_no_chain(size: int) -> None:
    with pytest.raises(ValueError, match="too many"):
        Chain(SOME, size, bytes(20 * (segments(size) - 1)))


@pytest.mark.parametrize("size", [0, 1, LEAST_SEGMENT])
def test_a_file_of_one_segment_has_one_link_from_the_start_to_the_digest(size: int) -> None:
    chain = Chain(SOME, size, b"")
    assert chain.link(0) == Link(INITIAL, SOME, size)
    assert (chain.count, chain.start(0), chain.length(0)) == (1, 0, size)


@given(st.integers(1, 40))
def test_links_hang_together_and_segments_lie_side_by_side(count: int) -> None:
    chain = invented_chain(count)
    assert chain.link(0).before == INITIAL
    assert chain.link(count - 1).after == chain.digest
    for index in range(1, count):
        assert chain.link(index - 1).after == chain.link(index).before
        assert chain.start(index) == chain.start(index - 1) + chain.length(index - 1)
    assert chain.start(count - 1) + chain.length(count - 1) == chain.size


def test_the_name_of_a_chain_is_the_sha_1_of_its_states() -> None:
    chain = invented_chain(3)
    assert chain.name == hashlib.sha1(chain.states).digest()
    assert Chain(SOME, 0, b"").name == hashlib.sha1(b"").digest() != NO_CHAIN


def test_the_same_states_are_other_links_in_a_file_of_another_size() -> None:
    one = invented_chain(3)
    other = Chain(one.digest, one.size - 1, one.states)
    assert all(one.link(index) != other.link(index) for index in range(3))


# What a chain proves.


@pytest.mark.usefixtures("small")
@given(st.binary(max_size=2000), st.randoms(use_true_random=False))
def test_segments_in_any_order_prove_the_file(data: bytes, rng: Random) -> None:
    chain = chain_of(data)
    parts = cut(chain, data)
    order = [*range(chain.count)]
    rng.shuffle(order)
    assert all(holds(chain, index, parts[index]) for index in order)
    assert b"".join(parts) == data


@pytest.mark.usefixtures("small")
def test_every_corrupted_byte_breaks_the_link_of_its_segment() -> None:
    data = some_data(600)
    chain = chain_of(data)
    assert chain.count > 4
    for at in range(len(data)):
        parts = cut(chain, data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        broken = [index for index in range(chain.count) if not holds(chain, index, parts[index])]
        assert broken == [at // chain.segment]


@pytest.mark.usefixtures("small")
@given(st.integers(0, 2000))
def test_a_size_that_is_a_lie_breaks_the_last_link(size: int) -> None:
    data = some_data(600)
    true = chain_of(data)
    count = segments(size)
    states = (true.states + bytes(20 * count))[: 20 * (count - 1)]
    claimed = Chain(true.digest, size, states)
    last = cut(claimed, (data + bytes(2000))[:size])[-1]
    assert holds(claimed, count - 1, last) == (size == len(data))


@pytest.mark.usefixtures("small")
def test_every_corrupted_state_breaks_the_links_on_both_sides() -> None:
    data = some_data(600)
    true = chain_of(data)
    parts = cut(true, data)
    for at in range(len(true.states)):
        states = bytearray(true.states)
        states[at] ^= 1
        chain = Chain(true.digest, true.size, bytes(states))
        broken = [index for index in range(chain.count) if not holds(chain, index, parts[index])]
        assert broken == [at // 20, at // 20 + 1]


# What tells chains apart.


@pytest.mark.parametrize(
    ("wrong", "telling"),
    [
        (set(), []),
        ({1}, [1]),
        ({5}, [5]),
        ({2, 3}, [3]),
        ({1, 3, 5}, [1, 3, 5]),
        ({1, 2, 3, 4, 5}, [5]),
    ],
)
def test_chains_tell_on_each_other_where_they_rejoin(wrong: set[int], telling: list[int]) -> None:
    true = invented_chain(6)
    false = false_chain(true, wrong)
    assert telling_segments(true, false) == telling_segments(false, true) == telling
    for index in telling:
        ours, theirs = true.link(index), false.link(index)
        assert ours.before != theirs.before
        assert ours.after == theirs.after


def test_chains_of_two_sizes_are_told_apart_by_their_last_segment_alone() -> None:
    one = invented_chain(3)
    assert telling_segments(one, Chain(one.digest, one.size - 1, one.states)) == []
