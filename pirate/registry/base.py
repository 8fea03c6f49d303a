"""What a registry promises: where peers announce themselves and are found."""

from collections.abc import Callable
from typing import Protocol

from pirate.deadline import Deadline
from pirate.errors import RegistryError
from pirate.model import Announcement, Peer


class Registry(Protocol):
    """A place where peers announce themselves.

    One thread at a time uses a registry. Every method may raise RegistryError, and returns
    or raises soon after its deadline at the latest; a later call may succeed again, however
    long the trouble lasted. ``tests/registry/test_contract.py`` holds every registry to it.
    """

    @property
    def kind(self) -> str:
        """Its name for people and JSON: "etcd", "static", "memory" ..."""

    @property
    def problem(self) -> RegistryError | None:
        """Why the last ``peers`` was not all there is to know; None if it was."""

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """Make others see ``announcement`` from now on until the lease runs out.

        Called at every heartbeat: it renews the lease, replaces what was announced before
        (under another id, too), and announces anew if the registry has lost it. ClashError if
        another peer that lives has our id; then nothing is announced.
        """

    def withdraw(self, deadline: Deadline) -> None:
        """Take our announcement back, so that others stop seeing it at once."""

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:
        """Everybody who is announced now, ourselves included."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed``, from any thread, soon after ``peers`` has something new to tell.

        Asked for once, before the first ``peers``, by those who stay. A registry that can only
        be asked never calls it.
        """

    def close(self) -> None:
        """Let go of connections. Never raises; the registry is not used afterwards."""
