"""What many files at once show while they come: how many there are, lines, a bar, or JSON."""

import time

from pirate.cli import text
from pirate.cli.meter import Gauge
from pirate.cli.output import Output
from pirate.cli.progress import JSON_SECONDS, PLAIN_SECONDS, Silent, label
from pirate.errors import PeerError
from pirate.model import Peer


class Counting(Silent):
    """Counts files; its ``count`` is for one thread. Also an ``Observer``, of who is dropped."""

    def __init__(self, output: Output, how: str, total: int) -> None:
        """``how`` is what --progress says; ``total`` files are wanted."""
        self._output = output
        self._total = total
        self._began = self._shown = time.monotonic()
        self._gauge = Gauge(0, self._began)
        self._bar = None
        self.done = self.present = self.failed = self.received = 0
        if output.json or output.quiet:
            how = "none"
        if how == "bar" or (how == "auto" and output.moving(output.stderr)):
            from pirate.cli.bar import FilesBar  # noqa: PLC0415 - loads rich, on a terminal only

            self._bar = FilesBar(output, total, self._line)
        self._plain = how in {"auto", "plain"} and not self._bar

    def dropped(self, peer: Peer, error: PeerError, sent: int) -> None:
        """See ``Observer``."""
        if self._output.json:
            fields = {"code": error.code, "reason": str(error), "bytes": sent}
            self._output.event("source", event="drop", peer=label(peer), **fields)
        else:
            self._output.note(f"dropped {peer} after {text.size(sent)}: {error}")

    def count(self, received: int, *, present: bool = False, failed: bool = False) -> None:
        """One more file is settled; ``received`` bytes of it came over the network."""
        self.done += not failed
        self.present += present
        self.failed += failed
        self.received += received
        now = time.monotonic()
        self._gauge.note(self.received, now)
        if self._bar:
            self._bar.advance()
        elif now - self._shown >= (JSON_SECONDS if self._output.json else PLAIN_SECONDS):
            self._shown = now
            if self._plain:
                self._output.note(self._line())
            self._output.event(
                "files",
                done=self.done,
                failed=self.failed,
                total=self._total,
                received_bytes=self.received,
                rate_bps=round(self._gauge.rate(now)),
            )

    def close(self) -> None:
        """Take the bar off the screen, and sum up."""
        if self._bar:
            self._bar.close()
        fetched, took = self.done - self.present, time.monotonic() - self._began
        parts = []
        if fetched:
            speed = text.rate(self.received / took)
            brought = f"{text.size(self.received)} in {text.seconds(took)}, {speed}"
            parts.append(f"{text.counted(fetched, 'file')} verified; {brought}")
        if self.present:
            parts.append(f"{text.counted(self.present, 'file')} here already")
        if parts:
            self._output.note("; ".join(parts))

    def _line(self) -> str:
        rate = text.rate(self._gauge.rate(time.monotonic()))
        settled = self.done + self.failed
        return f"{settled:,} of {self._total:,} files, {text.size(self.received)}, {rate}"
