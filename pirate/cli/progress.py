"""What a download shows while it runs: nothing, lines, a bar, or JSON objects."""

import time
from collections.abc import Callable

from pirate.cli import text
from pirate.cli.output import Output
from pirate.errors import PeerError
from pirate.fetch.download import Observer
from pirate.model import Entry, Peer

PLAIN_SECONDS = 10.0
JSON_SECONDS = 0.5


class Silent:
    """Shows nothing."""

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""

    def added(self, peer: Peer) -> None:
        """See ``Observer``."""

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """See ``Observer``."""

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""


class Meter:
    """Speed and time left of one download, and when to show them again."""

    def __init__(self, interval: float) -> None:
        """``interval``: seconds between two showings."""
        self._interval = interval
        self.start(0)

    def start(self, resumed: int) -> None:
        """A download begins, with ``resumed`` bytes from before."""
        self._resumed = resumed
        self._began = self._shown = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to show something."""
        now = time.monotonic()
        if now - self._shown < self._interval:
            return False
        self._shown = now
        return True

    def rate(self, done: int) -> float:
        """Bytes a second, since the start; 0 while less is there than then."""
        return max(0, done - self._resumed) / max(1e-6, time.monotonic() - self._began)

    def left(self, done: int, size: int) -> float | None:
        """Seconds until the end at this speed; None if nothing moves."""
        rate = self.rate(done)
        return (size - done) / rate if rate else None


class Plain(Silent):
    """A line on stderr every 10 s, and one for each holder that is dropped."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._meter = Meter(PLAIN_SECONDS)

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        self._meter.start(resumed)
        if resumed:
            self.say(f"{text.size(resumed)} of {entry.digest} are here from before")

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """See ``Observer``."""
        self.say(f"dropped {peer} after {text.size(sent)}: {error}")

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        if self._meter.due():
            rate = text.rate(self._meter.rate(done))
            left = self._meter.left(done, size)
            rest = f", {text.seconds(left)} left" if left is not None else ""
            self.say(f"{text.size(done)} of {text.size(size)}, {rate}{rest}")

    def say(self, text: str) -> None:
        """Print a remark."""
        self._output.note(text)


class Json(Silent):
    """Objects of the types ``start``, ``source`` and ``progress``."""

    def __init__(self, output: Output, ref: str, path: Callable[[], str]) -> None:
        self._output = output
        self._ref = ref
        self._path = path
        self._sources = 0
        self._meter = Meter(JSON_SECONDS)

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        self._meter.start(resumed)
        self._output.event(
            "start",
            schema="pirate.get/1",
            ref=self._ref,
            sha1=str(entry.digest),
            size=entry.size,
            output=self._path(),
            resumed_bytes=resumed,
        )

    def added(self, peer: Peer) -> None:
        """See ``Observer``."""
        self._sources += 1
        self._output.event("source", event="add", peer=label(peer))

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """See ``Observer``."""
        self._sources -= 1
        self._output.event("source", event="drop", peer=label(peer), code=error.code, bytes=sent)

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        if self._meter.due():
            self._output.event(
                "progress",
                done=done,
                total=size,
                rate_bps=round(self._meter.rate(done)),
                eta_s=self._meter.left(done, size),
                sources=self._sources,
            )


def label(peer: Peer) -> str:
    """How JSON names a peer: its name, or its address if it has none."""
    return peer.name or str(peer.addresses[0])


def observer(
    output: Output, how: str, ref: str, path: Callable[[], str]
) -> tuple[Observer, Callable[[], None]]:
    """Who shows a download, and what to call when it is over, however it ends.

    ``path`` tells where it goes, once the first holder is found.
    """
    if output.json:
        return Json(output, ref, path), lambda: None
    if output.quiet:
        how = "none"
    if how == "auto":
        how = "bar" if output.moving(output.stderr) else "plain"
    if how == "bar":
        from pirate.cli.bar import Bar  # noqa: PLC0415 - loads rich, on a terminal only

        bar = Bar(output)
        return bar, bar.close
    return (Plain(output) if how == "plain" else Silent()), lambda: None
