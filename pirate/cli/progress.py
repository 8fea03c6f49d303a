"""What a download shows while it runs: nothing, lines, a bar, or JSON objects."""

from collections.abc import Callable

from pirate.cli import text
from pirate.cli.meter import Meter
from pirate.cli.output import Output
from pirate.errors import PeerError
from pirate.model import Entry, Peer

PLAIN_SECONDS = 10.0
JSON_SECONDS = 0.5

# More holders than this share one figure, lest a line gets too long.
MOST_HOLDERS = 4


class Silent:
    """Shows nothing."""

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""

    def added(self, peer: Peer) -> None:
        """See ``Observer``."""

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """See ``Observer``."""

    def gave(self, peer: Peer, count: int) -> None:
        """See ``Observer``."""

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""


class Plain(Silent):
    """A line on stderr every 10 s, and one for each holder that is dropped."""

    def __init__(self, output: Output, which: str = "") -> None:
        """``which`` download it is stands before each line."""
        self._output = output
        self._which = which
        self.meter = Meter(PLAIN_SECONDS)

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        self.meter.start(entry.size, resumed)
        if resumed:
            self.say(f"{text.size(resumed)} of {entry.digest} are here from before")

    def added(self, peer: Peer) -> None:
        """See ``Observer``."""
        self.meter.added(peer)

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """See ``Observer``."""
        self.meter.dropped(peer)
        self.say(f"dropped {peer} after {text.size(sent)}: {error}")

    def gave(self, peer: Peer, count: int) -> None:
        """See ``Observer``."""
        self.meter.gave(peer, count)

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        if self.meter.progress(done, size):
            rate, left = text.rate(self.meter.rate), self.meter.left
            rest = f", {text.seconds(left)} left" if left is not None else ""
            self.say(f"{text.size(done)} of {text.size(size)}, {rate}{rest}; {self.holders()}")

    def holders(self) -> str:
        """Who gives, and how fast."""
        giving = self.meter.holders
        shown = [f"{label(each.peer)} {text.rate(each.rate)}" for each in giving[:MOST_HOLDERS]]
        if rest := giving[MOST_HOLDERS:]:
            shown.append(f"{len(rest)} more {text.rate(sum(each.rate for each in rest))}")
        return f"from {', '.join(shown)}" if shown else "from nobody"

    def say(self, remark: str) -> None:
        """Print a remark."""
        self._output.note(self._which + remark)


class Json(Silent):
    """Objects of the types ``start``, ``source`` and ``progress``."""

    def __init__(self, output: Output, ref: str, path: Callable[[], str]) -> None:
        self._output = output
        self._ref = ref
        self._path = path
        self._meter = Meter(JSON_SECONDS)

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        self._meter.start(entry.size, resumed)
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
        self._meter.added(peer)
        self._output.event("source", event="add", ref=self._ref, peer=label(peer))

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """See ``Observer``."""
        self._meter.dropped(peer)
        self._output.event(
            "source",
            event="drop",
            ref=self._ref,
            peer=label(peer),
            code=error.code,
            reason=str(error),
            bytes=sent,
        )

    def gave(self, peer: Peer, count: int) -> None:
        """See ``Observer``."""
        self._meter.gave(peer, count)

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        if self._meter.progress(done, size):
            giving = self._meter.holders
            self._output.event(
                "progress",
                ref=self._ref,
                done=done,
                total=size,
                rate_bps=round(self._meter.rate),
                eta_s=self._meter.left,
                sources=len(giving),
                peers=[
                    {"peer": label(peer), "rate_bps": round(rate), "bytes": given}
                    for peer, rate, given in giving
                ],
            )


def label(peer: Peer) -> str:
    """How JSON names a peer: its name, or its address if it has none."""
    return peer.name or str(peer.addresses[0])
