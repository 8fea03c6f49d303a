"""Several registries as one, of which any may fail without spoiling the others."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pirate.deadline import Deadline
from pirate.errors import ClashError, RegistryError
from pirate.model import HEARSAY, Address, Announcement, Peer, PeerId
from pirate.registry.base import Registry
from pirate.scope import Scope

log = logging.getLogger(__name__)

T = TypeVar("T")


class UnionRegistry:
    """All ``parts`` at once, each with the whole of every deadline.

    Where they know the same peer, the earlier part is believed. A part that fails stands for
    what it said last, and ``problem`` tells why until all parts have answered again.
    """

    def __init__(self, *parts: Registry) -> None:
        self.problem: RegistryError | None = None
        self._known: dict[Registry, tuple[Peer, ...]] = {}
        self.add(*parts)

    @property
    def kind(self) -> str:
        """The kinds of the parts, as in "etcd+static"; hearsay is none that could be lost."""
        return "+".join(part.kind for part in self.parts if part.kind != HEARSAY)

    @property
    def parts(self) -> tuple[Registry, ...]:
        """The registries that it is made of."""
        return tuple(self._known)

    def add(self, *parts: Registry) -> None:
        """Ask these as well from now on."""
        self._known |= dict.fromkeys(parts, ())

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """Announce to every part; RegistryError if any failed, since it has to be tried again."""
        self._ask_whole(lambda part: part.announce(announcement, deadline))

    def withdraw(self, deadline: Deadline) -> None:
        """Withdraw from every part; RegistryError if any failed."""
        self._ask_whole(lambda part: part.withdraw(deadline))

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """The peers of all parts; RegistryError only if every part failed."""
        answers = self._ask(lambda part: part.peers(deadline))
        failed = {part for part, answer in answers.items() if isinstance(answer, RegistryError)}
        self.problem = _sum(
            {part: answers[part] if part in failed else part.problem for part in answers}
        )
        if self.problem and len(failed) == len(answers):
            raise self.problem
        for part, answer in answers.items():
            if not isinstance(answer, RegistryError):
                self._known[part] = answer
        return merge(tuple(self._known.values()))

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``Registry``."""
        for part in self.parts:
            part.watch(changed)

    def close(self) -> None:
        """See ``Registry``."""
        for part in self.parts:
            part.close()

    def _ask_whole(self, question: Callable[[Registry], None]) -> None:
        if problem := _sum(self._ask(question)):
            raise problem

    def _ask(self, question: Callable[[Registry], T]) -> dict[Registry, T | RegistryError]:
        """What each part answers, or how it failed; all are asked at the same time."""
        answers: dict[Registry, T | RegistryError] = {}

        def ask(part: Registry) -> None:
            try:
                answers[part] = question(part)
            except RegistryError as error:
                answers[part] = error

        with Scope() as scope:
            for part in self.parts[1:]:
                scope.spawn(f"registry {part.kind}", partial(ask, part))
            for part in self.parts[:1]:  # most are alone, and need no thread
                ask(part)
        return {part: answers[part] for part in self.parts}


class Spare:
    """A registry beside a better one: it never fails, and is not missed where it does not work."""

    problem = None

    def __init__(self, registry: Registry) -> None:
        self.kind = registry.kind
        self._registry = registry
        self._peers: tuple[Peer, ...] = ()
        self._well = True

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """See ``Registry``; raises nothing but a ClashError."""
        with self._spared():
            self._registry.announce(announcement, deadline)

    def withdraw(self, deadline: Deadline) -> None:
        """See ``Registry``."""
        with self._spared():
            self._registry.withdraw(deadline)

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """See ``Registry``; those of the last time, if it fails."""
        with self._spared():
            self._peers = self._registry.peers(deadline)
        return self._peers

    def watch(self, changed: Callable[[], None]) -> None:
        """See ``Registry``."""
        self._registry.watch(changed)

    def close(self) -> None:
        """See ``Registry``."""
        self._registry.close()

    @contextmanager
    def _spared(self) -> Iterator[None]:
        try:
            yield
        except ClashError:
            raise
        except RegistryError as error:
            if self._well:
                log.info("going on without %s: %s", self.kind, error)
            self._well = False
        else:
            self._well = True


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


def _sum(answers: Mapping[Registry, T | RegistryError]) -> RegistryError | None:
    """The failures among ``answers`` as one; a clash is told apart, as something is to be done."""
    errors = [answer for answer in answers.values() if isinstance(answer, RegistryError)]
    for error in errors:
        if len(errors) == 1 or isinstance(error, ClashError):
            return error
    return RegistryError("; ".join(map(str, errors))) if errors else None
