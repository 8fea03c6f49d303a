"""Who watches downloads, as the user wants it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pirate.cli.output import Output
from pirate.cli.progress import Json, Plain, Silent
from pirate.fetch.terms import Observer

if TYPE_CHECKING:
    from rich.progress import Progress


class Watching:
    """Shows the downloads of one command: one after the other, or ``several`` at once."""

    def __init__(self, output: Output, how: str, *, several: bool = False) -> None:
        """``how`` is what --progress says."""
        self._output = output
        self._several = several
        self._bars: Progress | None = None  # of all that are shown
        if output.quiet or output.json:
            how = "none"
        if how == "auto":
            how = "bar" if output.moving(output.stderr) else "plain"
        self._how = how

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Nothing is drawn meanwhile: results are printed."""
        bars = self._bars
        if bars:
            bars.stop()
        yield
        if bars and bars.task_ids:
            bars.start()

    def close(self) -> None:
        """Take all bars off the screen."""
        if self._bars:
            self._bars.stop()

    def observer(self, ref: str, path: Callable[[], str]) -> tuple[Observer, Callable[[], None]]:
        """Who shows a download, and what to call when it is over, however it ends.

        ``path`` tells where it goes, once the first holder is found.
        """
        if self._output.json:
            return Json(self._output, ref, path), lambda: None
        if self._how == "bar":
            from pirate.cli.bar import Bar, drawn  # noqa: PLC0415 - loads rich, on a terminal only

            self._bars = self._bars or drawn(self._output)
            bar = Bar(self._output, self._bars)
            return bar, bar.close
        if self._how == "plain":
            return Plain(self._output, f"{ref}: " if self._several else ""), lambda: None
        return Silent(), lambda: None
