"""What fetchers are given, without a network: who has room, and who earns a second connection."""

import pytest
from chains import invented_chain
from fetch.rig import Watcher

from pirate.byterange import WHOLE
from pirate.chain import STATE_SIZE, Chain, Link, segment_size, segments
from pirate.errors import LiedError, LostError, PeerError
from pirate.fetch.board import Board, Who
from pirate.fetch.landing import Landing
from pirate.fetch.terms import Received
from pirate.model import Address, Digest, Entry, Peer
from pirate.policy.connections import EARNED, places
from pirate.scope import Stop

CHAIN = invented_chain(100)
HUGE = 300 * 2**30  # its segments have 32 MiB
TIB = 2**40


class Nowhere(Landing):
    """Where segments land that nobody needs."""

    def __init__(self) -> None:
        self.asked = WHOLE

    def recover(self, _: Chain, __: object) -> dict[int, Link]:
        return {}

    def put(self, _: Chain, __: int, ___: memoryview) -> None:
        pass


def peer(name: str) -> Peer:
    return Peer((Address("127.0.0.1", 1 + sum(name.encode())),), name=name)


A, B, C = (Who(peer(name), 0) for name in "ABC")
A2 = Who(A.peer, 1)


@pytest.fixture(name="board")
def _board() -> Board:
    entry = Entry(CHAIN.digest, CHAIN.size, ("file",))
    board = Board(entry, Nowhere(), Watcher(), Received(), over=Stop())
    board.hear()
    return board


def chain_of(size: int) -> Chain:
    return Chain(Digest(b"\1" * 20), size, bytes(STATE_SIZE * (segments(size) - 1)))


def join(board: Board, *fetchers: Who, chain: Chain = CHAIN) -> None:
    for who in fetchers:
        assert board.enroll(who, chain.size)
        board.join(who, chain)


def give(board: Board, who: Who) -> bool:
    """Let a fetcher have one segment; whether its peer has earned a connection with it."""
    task = board.take(who, CHAIN, wait=False)
    assert task
    return board.land(task, memoryview(b""))


def leave(board: Board, who: Who, error: PeerError | None = None) -> None:
    board.leave(who, error)


# Who earns a second connection.


def test_holders_of_like_speed_earn_none_but_the_one_that_is_left_does(board: Board) -> None:
    join(board, A, B)
    assert not any(give(board, who) for _ in range(2 * EARNED) for who in (A, B))
    leave(board, B, LostError("gone"))
    assert [give(board, A) for _ in range(EARNED)] == [False] * (EARNED - 1) + [True]


def test_a_holder_that_comes_puts_the_first_to_the_proof_again(board: Board) -> None:
    join(board, A)
    assert not any(give(board, A) for _ in range(EARNED - 1))
    join(board, B)
    assert not any(give(board, who) for _ in range(EARNED) for who in (A, B))


def test_one_that_gives_most_of_what_comes_earns_one(board: Board) -> None:
    join(board, A, B)
    assert not give(board, B)
    assert [give(board, A) for _ in range(EARNED)] == [False] * (EARNED - 1) + [True]


def test_a_second_connection_that_comes_or_goes_changes_nothing(board: Board) -> None:
    join(board, A)
    assert any(give(board, A) for _ in range(EARNED))
    join(board, A2)
    leave(board, A2, LostError("busy"))
    assert not any(give(board, A) for _ in range(2 * EARNED))


# For whom there is room: this is about files too large for tests.


@pytest.mark.parametrize("size", [HUGE, TIB])
def test_huge_segments_leave_room_for_two_holders(board: Board, size: int) -> None:
    assert places(segment_size(size)) == 2
    assert [board.enroll(who, size) for who in (A, B, C)] == [True, True, False]
    leave(board, A)
    assert board.enroll(C, size)


def test_a_holder_takes_the_place_of_anothers_second_connection(board: Board) -> None:
    chain = chain_of(HUGE)
    join(board, A, A2, chain=chain)
    task = board.take(A, chain, wait=False)
    assert task
    board.land(task, memoryview(b""))
    assert board.take(A2, chain, wait=False)
    join(board, B, chain=chain)
    assert board.take(A2, chain, wait=True) is None
    assert board.take(A, chain, wait=False)
    assert board.take(B, chain, wait=False)
    leave(board, A2)
    assert not board.enroll(A2, chain.size)


def test_a_false_size_that_is_huge_takes_no_place_from_another(board: Board) -> None:
    assert board.enroll(A, TIB)
    assert board.enroll(B, TIB)
    assert board.enroll(C, CHAIN.size)


def test_a_convicted_peer_has_no_second_connection(board: Board) -> None:
    join(board, A)
    leave(board, A, LiedError("no"))
    assert not board.enroll(A2, CHAIN.size)
