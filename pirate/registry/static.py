"""A registry that is a fixed list: the peers that the user named by their addresses."""

from collections.abc import Callable

from pirate.deadline import Deadline
from pirate.model import Address, Announcement, Peer


class StaticRegistry:
    """``addresses`` that are always listed; who they are, their HELLO tells. Never fails."""

    kind = "static"
    problem = None

    def __init__(self, addresses: tuple[Address, ...]) -> None:
        self._peers = tuple(
            Peer((address,), via=(self.kind,)) for address in dict.fromkeys(addresses)
        )

    def announce(self, announcement: Announcement, deadline: Deadline) -> None:
        """Do nothing: others name us by our address."""

    def withdraw(self, deadline: Deadline) -> None:
        """Do nothing."""

    def peers(self, deadline: Deadline) -> tuple[Peer, ...]:  # noqa: ARG002 - it never waits
        """See ``Registry``; the ids of these peers are not known."""
        return self._peers

    def watch(self, changed: Callable[[], None]) -> None:
        """Do nothing: the list is fixed."""

    def close(self) -> None:
        """See ``Registry``."""
