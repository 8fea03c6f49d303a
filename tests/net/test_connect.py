import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from evil import ghost, mute
from fake import Fake, Line
from honest import NEVER, QUICK, SOON, Honest, hello, listen
from processes.peers import nobody

from pirate.deadline import Deadline
from pirate.model import Address
from pirate.net.connect import STAGGER_SECONDS, Race, Runner
from pirate.policy.shun import Outcome
from pirate.scope import Stop


def runner(address: Address) -> Runner:
    return Runner(address, socket.AF_INET, tuple(address))


@pytest.fixture(name="black_hole")
def _black_hole() -> Iterator[Address]:
    """A listener whose backlog is full."""
    with listen(backlog=0) as listener, contextlib.ExitStack() as stack:
        address = Address(*listener.getsockname())
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(address)
        yield address


@contextlib.contextmanager
def running(
    *addresses: Address,
    connect: float = SOON,
    says: float = SOON,
    deadline: Deadline = NEVER,
    stop: Stop | None = None,
) -> Iterator[Iterator[tuple[Runner, OSError | None]]]:
    runners = [runner(address) for address in addresses]
    with contextlib.closing(Race(connect, says, deadline, stop or Stop()).run(runners)) as race:
        try:
            yield race
        finally:
            for each in runners:
                each.close()


def test_the_first_that_speaks_wins(honest: Honest) -> None:
    with running(nobody(), honest.address) as race:
        first, refused = next(race)
        assert isinstance(refused, ConnectionRefusedError)
        assert not first.sock
        winner, error = next(race)
        assert (winner.target, error) == (honest.address, None)
        with winner.take() as sock:
            assert sock.recv(2) == hello("").frame(0)[:2]


def test_one_that_does_not_answer_holds_the_next_up_for_a_moment_only(
    honest: Honest, black_hole: Address
) -> None:
    began = time.monotonic()
    with running(black_hole, honest.address) as race:
        assert next(race)[0].target == honest.address
    assert STAGGER_SECONDS <= time.monotonic() - began < QUICK


def test_one_that_connects_and_is_silent_holds_the_next_up_for_a_moment_only(
    honest: Honest,
) -> None:
    began = time.monotonic()
    with Fake(mute) as silent, running(silent.address, honest.address) as race:
        assert next(race)[0].target == honest.address
    assert STAGGER_SECONDS <= time.monotonic() - began < QUICK


def test_the_next_starts_at_once_where_the_one_before_has_failed(
    honest: Honest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirate.net.connect.STAGGER_SECONDS", SOON)
    began = time.monotonic()
    with running(*(nobody() for _ in range(8)), honest.address) as race:
        assert [each.target for each, _ in race][-1] == honest.address
    assert time.monotonic() - began < QUICK


def test_who_is_slow_still_wins_where_the_others_fail() -> None:
    failed = threading.Event()

    def late(line: Line) -> None:
        assert failed.wait(SOON)
        line.introduce()

    with Fake(late) as fake, running(fake.address, nobody()) as race:
        assert next(race)[1]
        failed.set()
        assert [(each.target, error) for each, error in race] == [(fake.address, None)]


def test_one_that_closes_has_spoken_so_that_its_reader_finds_out() -> None:
    with Fake(ghost) as fake, running(fake.address) as race:
        assert next(race)[1] is None


@pytest.mark.parametrize("connected", [True, False])
def test_each_has_its_own_time(
    black_hole: Address,
    connected: bool,  # noqa: FBT001
) -> None:
    with Fake(mute) as silent:
        address = silent.address if connected else black_hole
        patience = {"says": 0.1} if connected else {"connect": 0.1}
        with running(address, **patience) as race:  # type: ignore[arg-type]
            [(each, error)] = race
    assert isinstance(error, TimeoutError)
    assert each.connected is connected
    assert not each.sock


def test_a_deadline_ends_it_and_leaves_what_is_under_way() -> None:
    with Fake(mute) as silent:
        each = runner(silent.address)
        assert not list(Race(SOON, SOON, Deadline(1.5), Stop()).run([each]))
        assert each.connected
        assert each.outcome() is Outcome.STRANGE
        each.close()


def test_a_stop_ends_it_at_once(black_hole: Address) -> None:
    stop = Stop()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    began = time.monotonic()
    with running(black_hole, stop=stop) as race:
        assert not list(race)
    assert time.monotonic() - began < QUICK
    timer.join()


def test_one_that_was_left_under_way_goes_on(honest: Honest) -> None:
    stop = Stop()
    stop.set()
    each = runner(honest.address)
    each.start(SOON)
    connection = each.sock
    assert not list(Race(SOON, SOON, NEVER, stop).run([each]))
    assert next(Race(SOON, SOON, NEVER, Stop()).run([each])) == (each, None)
    assert each.sock is connection
    each.close()


def test_what_was_left_tells_what_has_become_of_it(honest: Honest, black_hole: Address) -> None:
    left = {address: runner(address) for address in (honest.address, black_hole)}
    for each in left.values():
        assert each.outcome() is Outcome.UNTRIED
        each.start(SOON)
    end = time.monotonic() + SOON
    while left[honest.address].outcome() is not Outcome.UNKNOWN:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert left[black_hole].outcome() is Outcome.DEAD
    for each in left.values():
        each.close()
