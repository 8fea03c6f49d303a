"""Whom the registry without a server has heard: the last word of each peer, while it counts.

What is heard here anybody on the LAN can have said. It is bounded in number and in time, and
what nobody could be is left out.
"""

import logging
import threading
import time
from collections.abc import Callable, Container
from typing import NamedTuple

from pirate.deadline import Deadline
from pirate.errors import ProtocolError
from pirate.model import Announcement
from pirate.registry import txt

log = logging.getLogger(__name__)

PEERS_LIMIT = 1_000
LONGEST_SECONDS = 3_600.0  # whatever a record says of its own life

# How long those who answer directly are silent when all of them have answered.
QUIET_SECONDS = 0.3


class _Heard(NamedTuple):
    """What a peer said last, as it came and as it was understood, and until when it counts."""

    text: bytes
    announcement: Announcement
    until: float


class Ear:
    """Who has been heard. The thread that receives fills it, the registry's asks."""

    def __init__(self, service: str) -> None:
        self._suffix = f".{service.lower()}"
        self._news = threading.Condition()  # guards what follows
        self._heard: dict[str, _Heard] = {}
        self._answered: float | None = None  # when the last direct answer came
        self._ours: Announcement | None = None
        self._rival: Announcement | None = None
        self._refused = False
        self._changed: Callable[[], None] = lambda: None

    def tell(self, changed: Callable[[], None]) -> None:
        """Call ``changed``, in the thread that hears it, when somebody says something new."""
        self._changed = changed

    def listen(self, deadline: Deadline) -> None:
        """Wait until those who answer directly have done so, or until the deadline."""
        with self._news:
            while (left := deadline.left) > 0:
                if self._answered is not None:
                    left = min(left, self._answered + QUIET_SECONDS - time.monotonic())
                    if left <= 0:
                        return
                self._news.wait(left)

    def heard(self) -> tuple[Announcement, ...]:
        """Everybody whose last word still counts."""
        with self._news:
            self._forget_silent()
            return tuple(heard.announcement for heard in self._heard.values())

    @property
    def rival(self) -> Announcement | None:
        """Who has announced something else under our id."""
        with self._news:
            return self._rival

    def speak(self, announcement: Announcement, seconds: float) -> None:
        """Count what we say as heard, and nothing else that comes under our name."""
        until = time.monotonic() + seconds
        with self._news:
            self._ours = announcement
            self._heard[str(announcement.id)] = _Heard(b"", announcement, until)

    def fall_silent(self) -> None:
        """Forget what we said, and who else has our id."""
        with self._news:
            if self._ours:
                self._heard.pop(str(self._ours.id), None)
            self._ours = self._rival = None

    def note(self, key: str, text: bytes, seconds: float, hosts: Container[str] | None) -> None:
        """Hear the TXT record ``text`` of ``key``, which says that it counts for ``seconds``.

        ``hosts`` are the addresses of this host if it is a direct answer.
        """
        if self._take(key, text, seconds, hosts):
            self._changed()

    def _take(self, key: str, text: bytes, seconds: float, hosts: Container[str] | None) -> bool:
        """See ``note``; whether that was news."""
        name = self._name(key)
        until = time.monotonic() + min(seconds, LONGEST_SECONDS)
        with self._news:
            known = self._heard.get(name)
            if known is None and self._full():
                return False
            if known and known.text == text:
                announcement = known.announcement
            else:
                try:
                    announcement = txt.decode(name, text)
                except ProtocolError as error:
                    self._refuse(name, error)
                    return False
            if self._ours and self._ours.id == announcement.id:
                self._compare(announcement, self._ours)
                return False
            self._heard[name] = _Heard(text, announcement, until)
            # An answer from this very host does not show that the others' can reach us.
            if hosts is not None and not any(each.host in hosts for each in announcement.addresses):
                self._answered = time.monotonic()
                self._news.notify_all()
            return known is None or known.text != text

    def _compare(self, theirs: Announcement, ours: Announcement) -> None:
        """What an earlier run of ours left has our addresses."""
        if theirs.instance != ours.instance and theirs.addresses != ours.addresses:
            self._rival = theirs

    def part(self, key: str) -> None:
        """Hear that somebody says goodbye."""
        name = self._name(key)
        with self._news:
            if not (self._ours and name == str(self._ours.id)):
                self._heard.pop(name, None)
        self._changed()

    def _name(self, key: str) -> str:
        return key.removesuffix(self._suffix)

    def _full(self) -> bool:
        if len(self._heard) >= PEERS_LIMIT:
            self._forget_silent()
        return len(self._heard) >= PEERS_LIMIT

    def _forget_silent(self) -> None:
        now = time.monotonic()
        self._heard = {name: heard for name, heard in self._heard.items() if now < heard.until}

    def _refuse(self, name: str, error: ProtocolError) -> None:
        """Log the first one: whoever can multicast can write as many as they like."""
        level = logging.DEBUG if self._refused else logging.WARNING
        self._refused = True
        log.log(level, "%r announces itself by mDNS, but not as a peer: %s", name[:64], error)
