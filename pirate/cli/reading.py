"""What a command shows while it reads much from the disk: nothing, lines, a bar, or JSON."""

import threading
from typing import TYPE_CHECKING

from pirate.cli import text
from pirate.cli.meter import Meter
from pirate.cli.output import Output
from pirate.cli.progress import JSON_SECONDS, PLAIN_SECONDS

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Reading:
    """Shows nothing but remarks. ``heard`` is called by any thread, all else by one."""

    def __init__(self, output: Output, interval: float = PLAIN_SECONDS) -> None:
        self._output = output
        self._meter = Meter(interval)
        self._lock = threading.Lock()  # guards _done
        self._done = 0
        self.detail = ""  # what else there is to show

    def begin(self, total: int) -> None:
        """So many bytes are going to be read."""
        self._meter.start(total, 0)

    def heard(self, count: int) -> None:
        """So many more have been."""
        with self._lock:
            self._done += count
            done = self._done
        if self._meter.progress(done, self._meter.size):
            self.show()

    def show(self) -> None:
        """It is time to show how far it is."""

    def say(self, line: str) -> None:
        """Print a line on stderr."""
        print(line, file=self._output.stderr, flush=True)

    def close(self) -> None:
        """It is over, however it has ended."""


class Plain(Reading):
    """A line on stderr every 10 s."""

    def show(self) -> None:
        """See ``Reading``."""
        meter = self._meter
        left = "" if meter.left is None else f", {text.seconds(meter.left)} left"
        read = f"{text.size(meter.done)} of {text.size(meter.size)}"
        self._output.note(f"{read}, {text.rate(meter.rate)}{left}; {self.detail}")


class Json(Reading):
    """Objects of the type ``progress``."""

    def __init__(self, output: Output) -> None:
        super().__init__(output, JSON_SECONDS)

    def show(self) -> None:
        """See ``Reading``."""
        meter = self._meter
        self._output.event(
            "progress",
            done=meter.done,
            total=meter.size,
            rate_bps=round(meter.rate),
            eta_s=meter.left,
        )


class Bar(Reading):
    """A bar, and lines above it."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        from pirate.cli.bar import drawn  # noqa: PLC0415 - loads rich, on a terminal only

        self._drawn: Progress = drawn(output)
        self._task: TaskID | None = None

    def begin(self, total: int) -> None:
        """See ``Reading``."""
        super().begin(total)
        self._task = self._drawn.add_task(
            "verify", total=total, meter=self._meter, below=lambda: self.detail
        )
        self._drawn.start()

    def heard(self, count: int) -> None:
        """See ``Reading``."""
        super().heard(count)
        if self._task is not None:
            self._drawn.advance(self._task, count)

    def say(self, line: str) -> None:
        """See ``Reading``."""
        self._drawn.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """See ``Reading``."""
        self._drawn.stop()


def reading(output: Output, how: str) -> Reading:
    """What shows it as the user wants it."""
    if output.json:
        return Json(output)
    if output.quiet:
        how = "none"
    if how == "auto":
        how = "bar" if output.moving(output.stderr) else "plain"
    shown: dict[str, type[Reading]] = {"bar": Bar, "plain": Plain}
    return shown.get(how, Reading)(output)
