"""Several registries as one, of which any may fail without spoiling the others."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pirate.deadline import Deadline
from pirate.errors import ClashError, RegistryError
from pirate.model import Address, Announcement, Peer, PeerId
from pirate.registry.base import Registry
from pirate.scope import Scope

T = TypeVar("T")


class UnionRegistry:
    """All ``parts`` at once, each with the whole of every deadline.

    Where they know the same peer, the earlier part is believed. A part that fails stands for
    what it said last, and ``problem`` tells why until all parts have answered again.
    """

    def __init__(self, parts: tuple[Registry, ...]) -> None:
        self.problem: RegistryError | None = None
        self._parts = parts
        self._known: tuple[tuple[Peer, ...], ...] = ((),) * len(parts)

    @property
    def kind(self) -> str:
        """The kinds of the parts, as in "etcd+static"."""
        return "+".join(part.kind for part in self._parts)

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """Announce to every part; RegistryError if any failed, since it has to be tried again."""
        self._ask_whole(lambda part: part.announce(announcement, deadline))

    def withdraw(self, deadline: Deadline) -> None:
        """Withdraw from every part; RegistryError if any failed."""
        self._ask_whole(lambda part: part.withdraw(deadline))

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """The peers of all parts; RegistryError only if every part failed."""
        answers = self._ask(lambda part: part.peers(deadline))
        self.problem = _sum(answers)
        if self.problem and all(isinstance(answer, RegistryError) for answer in answers):
            raise self.problem
        self._known = tuple(
            known if isinstance(answer, RegistryError) else answer
            for known, answer in zip(self._known, answers, strict=True)
        )
        return merge(self._known)

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``Registry``."""
        for part in self._parts:
            part.watch(changed)

    def close(self) -> None:
        """See ``Registry``."""
        for part in self._parts:
            part.close()

    def _ask_whole(self, question: Callable[[Registry], None]) -> None:
        if problem := _sum(self._ask(question)):
            raise problem

    def _ask(self, question: Callable[[Registry], T]) -> list[T | RegistryError]:
        """What each part answers, or how it failed; all are asked at the same time."""
        answers: dict[int, T | RegistryError] = {}

        def ask(index: int, part: Registry) -> None:
            try:
                answers[index] = question(part)
            except RegistryError as error:
                answers[index] = error

        with Scope() as scope:
            for index, part in enumerate(self._parts):
                scope.spawn(f"registry {part.kind}", partial(ask, index, part))
        return [answers[index] for index in range(len(self._parts))]


def merge(lists: tuple[tuple[Peer, ...], ...]) -> tuple[Peer, ...]:
    """Each peer once, with all ways by which it was found.

    One without an id is the announced one that has its address, if there is one.
    """
    found: dict[PeerId | Address, Peer] = {}
    at: dict[Address, PeerId] = {}
    several = [peer for peers in lists for peer in peers]
    for peer in sorted(several, key=lambda peer: peer.id is None):
        key = peer.id or at.get(peer.addresses[0]) or peer.key
        known = found.get(key)
        via = dict.fromkeys((known.via if known else ()) + peer.via)
        found[key] = replace(known or peer, via=tuple(via))
        if peer.id:
            at.update(dict.fromkeys(peer.addresses, peer.id))
    return tuple(found.values())


def _sum(answers: list[T | RegistryError]) -> RegistryError | None:
    """The failures among ``answers`` as one; a clash is told apart, as something is to be done."""
    errors = [answer for answer in answers if isinstance(answer, RegistryError)]
    for error in errors:
        if len(errors) == 1 or isinstance(error, ClashError):
            return error
    return RegistryError("; ".join(map(str, errors))) if errors else None
