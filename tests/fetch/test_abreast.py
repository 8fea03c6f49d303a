"""Several downloads at once, and the one thread that does what is not theirs."""

import contextlib
import threading
from collections.abc import Callable

import pytest
from fetch.rig import Watcher
from honest import SOON

from pirate.errors import NotFoundError, PirateError, StoppedError
from pirate.fetch.abreast import Abreast, Relay
from pirate.model import Digest, Entry
from pirate.scope import Stop

Work = Callable[[int, Stop], int]


def outcomes(
    work: Work, jobs: int, at_once: int, stop: Stop | None = None
) -> dict[int, int | PirateError]:
    with contextlib.closing(Abreast(work, stop or Stop()).run(range(jobs), at_once)) as found:
        return dict(found)


def test_every_job_is_done_and_a_failure_is_an_outcome() -> None:
    def work(job: int, _: Stop) -> int:
        if job == 3:
            raise NotFoundError("three")
        return job * job

    found = outcomes(work, 10, 4)
    assert isinstance(found.pop(3), NotFoundError)
    assert found == {job: job * job for job in range(10) if job != 3}
    assert outcomes(work, 0, 4) == {}


@pytest.mark.parametrize("at_once", [1, 3])
def test_so_many_run_at_once_and_no_more(at_once: int) -> None:
    lock = threading.Lock()
    all_there = threading.Barrier(at_once, timeout=SOON)
    running: list[int] = []
    most = 0

    def work(job: int, _: Stop) -> int:
        nonlocal most
        with lock:
            running.append(job)
            most = max(most, len(running))
        all_there.wait()
        with lock:
            running.remove(job)
        return job

    assert len(outcomes(work, 4 * at_once, at_once)) == 4 * at_once
    assert most == at_once


def test_what_is_asked_and_told_is_done_by_the_thread_that_waits() -> None:
    here: list[threading.Thread] = []
    told: list[int] = []

    def work(job: int, stop: Stop) -> int:
        here.append(abreast.ask(threading.current_thread, stop))
        abreast.tell(lambda: told.append(job))
        return job

    abreast = Abreast(work, Stop())
    with contextlib.closing(abreast.run(range(5), 3)) as found:
        for job, _ in found:
            assert job in told, "what a job tells comes before its end"
    assert set(here) == {threading.current_thread()}


def test_whoever_asks_gets_the_error() -> None:
    def question() -> int:
        raise NotFoundError("nobody")

    abreast: Abreast[int, int] = Abreast(lambda _, stop: abreast.ask(question, stop), Stop())
    with contextlib.closing(abreast.run([1], 1)) as found:
        [(_, error)] = found
    assert isinstance(error, NotFoundError)


def test_whoever_breaks_off_stops_them_all() -> None:
    stopped: list[int] = []

    def work(job: int, stop: Stop) -> int:
        if job == 0:
            return 0
        assert stop.wait(SOON)
        stopped.append(job)
        with pytest.raises(StoppedError):
            abreast.ask(lambda: 0, stop)
        raise StoppedError("stopped")

    abreast = Abreast(work, Stop())
    with contextlib.closing(abreast.run(range(9), 3)) as found:
        assert next(found) == (0, 0)
    assert set(stopped) <= {1, 2, 3}


def test_a_stop_from_elsewhere_is_told() -> None:
    stop = Stop()

    def work(_: int, inner: Stop) -> int:
        stop.set()
        inner.wait(SOON)
        return 0

    with pytest.raises(StoppedError):
        outcomes(work, 2, 1, stop)


def test_a_bug_in_one_ends_all() -> None:
    def work(job: int, stop: Stop) -> int:
        if job:
            stop.wait(SOON)
        return 1 // job

    with pytest.raises(ExceptionGroup):
        outcomes(work, 2, 2)


def test_an_observer_is_told_by_whoever_relays() -> None:
    watcher, calls = Watcher(), list[Callable[[], None]]()
    entry = Entry(Digest(bytes(20)), 7, ("x",))
    relay = Relay(watcher, calls.append)
    relay.started(entry, 3)
    relay.progress(5, 7)
    assert (watcher.entries, watcher.done) == ([], [])
    for call in calls:
        call()
    assert (watcher.entries, watcher.resumed, watcher.done) == ([entry], 3, [5])
