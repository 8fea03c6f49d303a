import time
from contextlib import closing

import pytest
from honest import QUICK, SOON

from pirate.deadline import Deadline
from pirate.errors import LostError, PeerError, StalledError
from pirate.model import Address, Peer
from pirate.net.survey import AT_ONCE, MOST_AT_ONCE, _in_rounds, survey
from pirate.scope import Stop

PEERS = [Peer((Address("127.0.0.1", number),)) for number in range(1, 101)]


def port(peer: Peer, _: Deadline, __: Stop) -> int:
    return peer.addresses[0].port


def test_everybody_is_heard_once() -> None:
    answers = list(survey(PEERS, port, Deadline(SOON), Stop()))
    assert dict(answers) == {p: p.addresses[0].port for p in PEERS}
    assert len(answers) == len(PEERS)


def test_nobody_to_ask_is_no_answer() -> None:
    assert list(survey([], port, Deadline(SOON), Stop())) == []


def test_the_quickest_comes_first_and_silence_delays_nobody() -> None:
    def ask(peer: Peer, _: Deadline, stop: Stop) -> int:
        if peer is PEERS[0]:
            assert stop.wait(SOON)
        return 1

    began = time.monotonic()
    answers = []
    with closing(survey(PEERS, ask, Deadline(SOON), Stop())) as survey_:
        for peer, _ in survey_:
            answers.append(peer)
            if len(answers) == len(PEERS) - 1:
                break
    assert PEERS[0] not in answers
    assert time.monotonic() - began < QUICK


def test_many_silent_peers_do_not_keep_the_others_from_being_asked() -> None:
    silent = set(PEERS[: AT_ONCE + 10])

    def ask(peer: Peer, _: Deadline, stop: Stop) -> int:
        if peer in silent and stop.wait(SOON):
            raise LostError("aborted")
        return 1

    began = time.monotonic()
    with closing(survey(PEERS, ask, Deadline(SOON), Stop())) as answers:
        heard = [next(answers)[0] for _ in range(len(PEERS) - len(silent))]
    assert not silent & set(heard)
    assert time.monotonic() - began < QUICK


def test_the_time_of_each_begins_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pirate.net.survey.MOST_AT_ONCE", 1)
    monkeypatch.setattr("pirate.net.survey.AT_ONCE", 1)
    began, ends = [], []

    def ask(_: Peer, deadline: Deadline, stop: Stop) -> int:
        began.append(time.monotonic())
        ends.append(deadline._when)
        stop.wait(0.5)
        return 1

    list(survey(PEERS[:2], ask, Deadline(2 * SOON), Stop(), each=SOON))
    assert ends[1] - SOON >= began[0] + 0.5


def test_who_does_not_keep_to_its_time_is_not_waited_for() -> None:
    def ask(peer: Peer, _: Deadline, stop: Stop) -> int:
        if peer is PEERS[1]:
            stop.wait(SOON)
            raise LostError("aborted")
        return 1

    answers = dict(survey(PEERS[:3], ask, Deadline(SOON), Stop(), each=0.2))
    assert isinstance(answers[PEERS[1]], StalledError)


def test_who_has_not_answered_by_the_deadline_is_told_apart() -> None:
    def ask(peer: Peer, deadline: Deadline, stop: Stop) -> int:
        if peer is PEERS[1]:
            stop.wait(2 * deadline.left)
            raise LostError("aborted")
        return 1

    answers = dict(survey(PEERS[:3], ask, Deadline(2.0), Stop()))
    assert isinstance(answers[PEERS[1]], StalledError)
    assert answers[PEERS[0]] == answers[PEERS[2]] == 1


def test_silence_is_waited_for_as_long_as_patience_says() -> None:
    answers: list[tuple[Peer, int | PeerError]] = []

    def ask(peer: Peer, deadline: Deadline, stop: Stop) -> int:
        stop.wait(deadline.left if peer is PEERS[1] else 0.0)
        return 1

    def patience() -> float:
        return 0.1 if len(answers) == 2 else SOON

    began = time.monotonic()
    for answer in survey(PEERS[:3], ask, Deadline(SOON), Stop(), patience=patience):
        answers.append(answer)  # noqa: PERF402 - patience looks at it
    assert answers[2][0] is PEERS[1]
    assert isinstance(answers[2][1], StalledError)
    assert time.monotonic() - began < SOON - 1.0


def test_a_failure_is_an_answer_and_does_not_end_the_survey() -> None:
    def ask(peer: Peer, _: Deadline, __: Stop) -> int:
        if peer.addresses[0].port % 2:
            raise LostError("gone")
        return 1

    answers = dict(survey(PEERS, ask, Deadline(SOON), Stop()))
    assert sum(isinstance(answer, PeerError) for answer in answers.values()) == 50


def test_more_peers_than_threads_are_asked_one_after_the_other() -> None:
    asking = 0
    most = 0

    def ask(_: Peer, __: Deadline, stop: Stop) -> int:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        stop.wait(0.005)
        asking -= 1
        return 1

    peers = [Peer((Address("127.0.0.1", number),)) for number in range(1, 2 * MOST_AT_ONCE)]
    assert len(list(survey(peers, ask, Deadline(SOON), Stop()))) == len(peers)
    assert most <= MOST_AT_ONCE


def test_a_stop_ends_it_at_once() -> None:
    stop = Stop()

    def ask(peer: Peer, _: Deadline, inner: Stop) -> int:
        if peer is PEERS[9]:
            stop.set()
        assert inner.wait(SOON)
        raise LostError("aborted")

    began = time.monotonic()
    answers = list(survey(PEERS[:10], ask, Deadline(SOON), stop))
    assert time.monotonic() - began < QUICK
    assert all(isinstance(answer, LostError) for _, answer in answers)


def test_a_defect_is_not_taken_for_silence() -> None:
    def ask(_: Peer, __: Deadline, ___: Stop) -> int:
        raise KeyError

    with pytest.raises(ExceptionGroup):
        list(survey(PEERS[:2], ask, Deadline(SOON), Stop()))


def test_many_records_of_one_host_or_address_do_not_hide_the_others() -> None:
    def peer(host: str, port: int) -> Peer:
        return Peer((Address(host, port),))

    one_address = [peer("10.0.0.1", 80) for _ in range(3)]
    one_host = [peer("10.0.0.2", port) for port in range(3)]
    others = [peer("10.0.0.3", 1), peer("10.0.0.4", 1)]
    assert _in_rounds([*one_address, *one_host, *others]) == [
        one_address[0],
        one_host[0],
        *others,
        *one_host[1:],
        *one_address[1:],
    ]
