# ruff: noqa: PT012 - what raises is a scope, and a scope is a block
import threading
import weakref

import pytest

from pirate.scope import Scope, Stop, StuckError

SECONDS = 20.0


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


# Stop.


def test_a_stop_wakes_who_waits_for_it() -> None:
    woken: list[bool] = []
    with Scope() as scope:
        scope.spawn("waiter", lambda: woken.append(scope.stop.wait(SECONDS)))
    assert woken == [True]


def test_waiting_for_a_stop_that_is_not_set_ends_in_time() -> None:
    assert not Stop().wait(0)


def test_a_waker_is_called_when_the_stop_is_set_while_its_block_runs() -> None:
    stop, calls = Stop(), list[str]()
    with stop.waking(lambda: calls.append("woken")):
        assert not calls
        stop.set()
        assert calls == ["woken"]


def test_a_waker_is_called_at_once_when_the_stop_was_set_before() -> None:
    stop, calls = Stop(), list[str]()
    stop.set()
    with stop.waking(lambda: calls.append("woken")):
        assert calls == ["woken"]


def test_a_waker_is_forgotten_with_its_block() -> None:
    stop, calls = Stop(), list[str]()
    with stop.waking(lambda: calls.append("woken")):
        pass
    with (
        pytest.raises(ValueError, match="in the block"),
        stop.waking(lambda: calls.append("woken")),
    ):
        raise ValueError("in the block")
    stop.set()
    assert not calls


def test_every_waker_is_called_and_equal_ones_each() -> None:
    stop, calls = Stop(), list[str]()

    def wake() -> None:
        calls.append("woken")

    with stop.waking(wake), stop.waking(wake), stop.waking(lambda: calls.append("other")):
        stop.set()
    assert sorted(calls) == ["other", "woken", "woken"]


def test_a_waker_may_set_the_stop_and_bring_wakers_of_its_own() -> None:
    stop, calls = Stop(), list[str]()

    def wake() -> None:
        if not calls:
            calls.append("woken")
            stop.set()
            with stop.waking(lambda: calls.append("inner")):
                pass

    with stop.waking(wake):
        stop.set()
    assert calls == ["woken", "inner"]


def test_a_stop_does_not_keep_what_its_wakers_belonged_to() -> None:
    class Channel:
        def abort(self) -> None:
            pass

    stop, channel = Stop(), Channel()
    gone = weakref.ref(channel)
    with stop.waking(channel.abort):
        pass
    del channel
    assert gone() is None


# Scope.


def wait_for(event: Stop | threading.Event) -> None:
    assert event.wait(SECONDS)


def test_leaving_a_scope_stops_and_joins_its_threads() -> None:
    with Scope() as scope:
        for number in range(3):
            scope.spawn(f"waiter {number}", lambda: wait_for(scope.stop))
        assert {"waiter 0", "waiter 1", "waiter 2"} <= threads()
    assert not {"waiter 0", "waiter 1", "waiter 2"} & threads()


def test_leaving_a_scope_unblocks_a_thread_through_its_waker() -> None:
    blocked = threading.Event()

    def block(stop: Stop) -> None:
        with stop.waking(blocked.set):
            assert blocked.wait(SECONDS)

    with Scope() as scope:
        scope.spawn("blocked", lambda: block(scope.stop))


def test_a_thread_that_raises_stops_its_siblings_and_leaving_tells() -> None:
    failure = ValueError("broken")

    def fail() -> None:
        raise failure

    with pytest.raises(ExceptionGroup) as raised, Scope() as scope:
        scope.spawn("sibling", lambda: wait_for(scope.stop))
        scope.spawn("broken", fail)
        assert scope.stop.wait(SECONDS)
    assert raised.value.exceptions == (failure,)
    assert not {"sibling", "broken"} & threads()


def test_leaving_tells_what_every_thread_raised() -> None:
    def fail(stop: Stop, error: Exception) -> None:
        stop.wait(SECONDS)
        raise error

    with pytest.raises(ExceptionGroup) as raised, Scope() as scope:
        scope.spawn("one", lambda: fail(scope.stop, ValueError("one")))
        scope.spawn("two", lambda: fail(scope.stop, KeyError("two")))
    assert {type(error) for error in raised.value.exceptions} == {ValueError, KeyError}


def test_what_the_block_raises_comes_out_once_the_threads_have_ended() -> None:
    with pytest.raises(ValueError, match="in the block"), Scope() as scope:
        scope.spawn("waiter", lambda: wait_for(scope.stop))
        raise ValueError("in the block")
    assert "waiter" not in threads()


def test_what_the_block_raises_is_the_cause_where_threads_raised_too() -> None:
    def fail() -> None:
        raise KeyError

    with pytest.raises(ExceptionGroup) as raised, Scope() as scope:
        scope.spawn("broken", fail)
        assert scope.stop.wait(SECONDS)
        raise ValueError("in the block")
    assert isinstance(raised.value.__cause__, ValueError)


def test_an_interrupt_is_not_hidden_by_what_threads_raise_when_they_are_stopped() -> None:
    def fail(stop: Stop) -> None:
        stop.wait(SECONDS)
        raise ValueError("aborted")

    with pytest.raises(KeyboardInterrupt), Scope() as scope:
        scope.spawn("aborted", lambda: fail(scope.stop))
        raise KeyboardInterrupt


def test_a_scope_is_stopped_with_its_parent() -> None:
    parent = Stop()
    with Scope(parent) as scope, Scope(scope.stop) as inner:
        inner.spawn("waiter", lambda: wait_for(inner.stop))
        parent.set()
        assert scope.stop.is_set
        assert inner.stop.wait(SECONDS)


def test_a_scope_of_a_parent_that_was_stopped_before_is_stopped_from_the_start() -> None:
    parent = Stop()
    parent.set()
    with Scope(parent) as scope:
        assert scope.stop.is_set


def test_a_scope_does_not_stop_its_parent() -> None:
    parent = Stop()
    with Scope(parent):
        pass
    assert not parent.is_set
    assert not parent._wakers


def test_a_thread_may_start_others_even_while_the_scope_is_left() -> None:
    ended = threading.Event()

    def first(scope: Scope) -> None:
        scope.stop.wait(SECONDS)
        scope.spawn("second", ended.set)

    with Scope() as scope:
        scope.spawn("first", lambda: first(scope))
    assert ended.is_set()
    assert not {"first", "second"} & threads()


def test_threads_that_have_ended_are_forgotten() -> None:
    with Scope() as scope:
        for _ in range(5):
            done = threading.Event()
            scope.spawn("short", done.set)
            assert done.wait(SECONDS)
            scope._threads[-1].join(SECONDS)
        assert len(scope._threads) == 1


def test_a_thread_that_ignores_the_stop_is_named() -> None:
    release = threading.Event()
    with pytest.raises(StuckError, match="stubborn"), Scope(grace=0.05) as scope:
        scope.spawn("stubborn", lambda: wait_for(release))
        [thread] = scope._threads
    release.set()
    thread.join(SECONDS)
    assert "stubborn" not in threads()
