"""When everybody is asked again; and a busy peer, as real downloads meet it."""

import itertools
import time
from pathlib import Path

import pytest
from evil import Holder, busy
from fake import Fake, Line
from fetch.rig import Rig
from honest import digest_of, some_bytes
from vouching import honest

from pirate.errors import LostError, NoNetworkError, PeerError, RefusedError
from pirate.fetch import rounds
from pirate.fetch.rounds import BUSY_PAUSE, FRUITLESS_ROUNDS, Rounds
from pirate.wire import messages
from pirate.wire.messages import ErrorCode

TRUTH = some_bytes(700_000)
DIGEST = digest_of(TRUTH)


def full(seconds: float) -> PeerError:
    return RefusedError("busy", "", retry_after=seconds)


def after(rounds: Rounds, *problems: PeerError, better: bool = False) -> float:
    """The pause after a round."""
    rounds.note(better=better, problems=problems)
    return rounds.pause()


def test_few_rounds_in_a_row_bring_nothing() -> None:
    asking = Rounds()
    for _ in range(FRUITLESS_ROUNDS - 1):
        after(asking, LostError())
    after(asking, LostError(), better=True)
    for _ in range(FRUITLESS_ROUNDS):
        assert not asking.over
        after(asking, LostError())
    assert asking.over


def test_the_first_that_is_busy_is_waited_for_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "BUSY_SECONDS", 30.0)
    asking = Rounds()
    assert after(asking, LostError(), full(3.0), full(1.5)) == 1.5
    assert asking.hopeful
    assert after(asking, full(1e6)) == BUSY_PAUSE
    assert after(asking, full(2.0), better=True) == 2.0
    assert not asking.over


def test_those_that_are_busy_for_ever_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "BUSY_SECONDS", 10.0)
    asking = Rounds()
    assert [after(asking, full(4.0)) for _ in range(3)] == [4.0, 4.0, 2.0]
    for _ in range(FRUITLESS_ROUNDS):
        assert not asking.over
        after(asking, full(4.0))
        assert not asking.hopeful
    assert asking.over


def test_a_refusal_without_a_time_is_no_reason_to_wait() -> None:
    asking = Rounds()
    after(asking, full(0.0))
    assert not asking.hopeful


# Real downloads.


@pytest.mark.parametrize("make", [honest, Holder], ids=["by chain", "in one pass"])
def test_a_lone_holder_that_is_busy_is_asked_when_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: type[Holder]
) -> None:
    monkeypatch.setattr(rounds, "BUSY_SECONDS", 10.0)
    rig = Rig(tmp_path)
    truthful = make(TRUTH)
    asked: list[float] = []

    def full_at_first(line: Line) -> None:
        asked.append(time.monotonic())
        if len(asked) <= FRUITLESS_ROUNDS + 1:
            line.send(messages.Error(ErrorCode.BUSY, 100, "too many guests").frame(0))
        else:
            truthful(line)

    with Fake(full_at_first) as fake:
        rig.get(DIGEST, fake.peer)
    assert (rig.folder / "file").read_bytes() == TRUTH
    refused = asked[: FRUITLESS_ROUNDS + 2]
    assert all(then - now > 0.09 for now, then in itertools.pairwise(refused))


def test_a_holder_that_is_busy_for_ever_is_an_error(tmp_path: Path) -> None:
    with Fake(busy) as fake, pytest.raises(NoNetworkError, match="busy"):
        Rig(tmp_path).get(DIGEST, fake.peer)
    assert fake.accepted > 1
