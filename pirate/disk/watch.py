"""Tell what has changed in the shared folders, once it has come to rest.

That is for speed alone: what is not told here is found by the scans on the timer.
"""

import contextlib
import errno
import logging
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pirate.deadline import Clock
from pirate.disk.inotify import Folders, MissedError
from pirate.disk.mounts import remote_devices
from pirate.disk.place import Place
from pirate.disk.tree import Shares
from pirate.policy.resting import Resting
from pirate.scope import Stop

log = logging.getLogger(__name__)

# Events are left together for a moment: the kernel makes one of many that are the same.
GATHER_SECONDS = 0.05

# After telling of many places we keep silent for a while, so that a storm is told in few batches.
SILENCE_PER_PLACE = 0.005
MOST_SILENCE = 2.0

# A root that is renamed with what is above it, or mounted over, tells nobody: it is compared.
ROOT_SECONDS = 1.0

_TIMER = "; until then changes are found by --rescan alone"
_ADVICE = {
    errno.ENOSPC: "not all folders below %r are watched, there are too few watches; raise"
    " fs.inotify.max_user_watches (sysctl) and start again" + _TIMER,
    errno.EMFILE: "%r is not watched; raise fs.inotify.max_user_instances (sysctl) or the limit"
    " on open files" + _TIMER,
}
_OTHER = "%r is not watched (%s); changes are found by --rescan alone"
_REMOTE = "%r has folders on %s, where others change files unheard; --rescan alone finds those"
_MISSED = (
    "more changed below %r than the kernel keeps, so all of it is looked at; if that is often,"
    " raise fs.inotify.max_queued_events (sysctl)"
)


class Watch:
    """Watches shared folders. ``run`` is the body of the thread that owns it."""

    def __init__(
        self,
        shares: Shares,
        changed: Callable[[list[Place]], None],
        complete: Callable[[bool], None] = lambda _: None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        """``changed`` is told what has changed: a file, or a folder with all below it.

        ``complete`` is told whether nothing escapes us, whenever that changes; it did before.
        """
        self._rules = shares.rules
        self._changed = changed
        self._tell_complete = complete
        self._complete = False
        self._clock = clock
        self._folders: dict[str, Folders | None] = dict.fromkeys(shares.roots)
        self._unwatched: set[str] = set()  # roots that are there, but cannot be watched
        self._resting: Resting[Place] = Resting()
        self._compare_at = self._tell_at = 0.0
        self._told: set[tuple[str, str]] = set()

    def run(self, stop: Stop) -> None:
        """Watch until stopped."""
        with _bell(stop) as bell:
            try:
                while not stop.is_set:
                    self._compare_roots()
                    if self._wait(bell):
                        stop.wait(GATHER_SECONDS)
                    self._gather()
            finally:
                for root in self._folders:
                    self._leave(root)

    def _wait(self, bell: socket.socket) -> bool:
        """Wait until something happens, or is due; whether something happens."""
        due = self._compare_at
        if rests := self._resting.due():
            due = min(due, max(rests, self._tell_at))
        with selectors.PollSelector() as selector:  # needs no descriptor
            selector.register(bell, selectors.EVENT_READ)
            for folders in filter(None, self._folders.values()):
                selector.register(folders, selectors.EVENT_READ)
            return bool(selector.select(max(0.0, due - self._clock())))

    def _gather(self) -> None:
        """Note what has changed, and pass on what has come to rest."""
        now = self._clock()
        for root, folders in self._folders.items():
            try:
                for place, writing in folders.changes() if folders else ():
                    self._resting.touch(place, now, writing=writing)
            except MissedError:
                self._warn(_MISSED, root)
                self._leave(root)
                self._compare_at = now
        self._judge()
        if now >= self._tell_at and (rested := self._resting.rested(now)):
            self._tell_at = now + min(len(rested) * SILENCE_PER_PLACE, MOST_SILENCE)
            self._changed(rested)

    def _compare_roots(self) -> None:
        """Watch the roots that are there, if they are not the folders that they were."""
        now = self._clock()
        if now < self._compare_at:
            return
        for root, folders in self._folders.items():
            identity = _identity(root)
            if folders and folders.identity == identity:
                continue
            self._leave(root)
            if identity:
                self._enter(root)
            if folders or self._folders[root]:
                # Also what came before we watched: the scan may have been there even earlier.
                self._resting.touch(Place(root, ()), now)
        self._judge()
        self._compare_at = self._clock() + ROOT_SECONDS

    def _enter(self, root: str) -> None:
        """Watch all folders of a root, if that can be."""
        try:
            self._folders[root] = Folders(root, self._rules, remote_devices())
        except OSError as error:
            self._unwatched.add(root)
            self._advise(root, error)

    def _leave(self, root: str) -> None:
        """Watch nothing of it any more."""
        self._unwatched.discard(root)
        if folders := self._folders[root]:
            folders.close()
            self._folders[root] = None

    def _judge(self) -> None:
        """Tell if the timer is needed."""
        complete = not self._unwatched
        for root, folders in self._folders.items():
            if folders and folders.trouble:
                complete = False
                self._advise(root, folders.trouble)
            if folders and folders.remote:
                complete = False
                self._warn(_REMOTE, root, folders.remote)
        if complete != self._complete:
            self._complete = complete
            self._tell_complete(complete)

    def _advise(self, root: str, error: OSError) -> None:
        if error.errno in _ADVICE:
            self._warn(_ADVICE[error.errno], root)
        else:
            self._warn(_OTHER, root, error.strerror or str(error))

    def _warn(self, what: str, root: str, *more: str) -> None:
        """Say it once."""
        if (what, root) not in self._told:
            self._told.add((what, root))
            log.warning(what, root, *more)


def _identity(root: str) -> tuple[int, int] | None:
    """What tells that a root is still the same folder; None if it is none now."""
    try:
        status = os.stat(os.path.join(root, ""))
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _bell(stop: Stop) -> Iterator[socket.socket]:
    """A socket that becomes readable when it is time to end."""
    bell, rope = socket.socketpair()

    def ring() -> None:
        with contextlib.suppress(OSError):  # closed, or rung often enough
            rope.send(b"\0")

    rope.setblocking(False)
    with bell, rope, stop.waking(ring):
        yield bell
