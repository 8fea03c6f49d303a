"""Who watches downloads, as the user wants it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pirate.cli.output import Output
from pirate.cli.progress import Json, Plain, Silent
from pirate.fetch.terms import Observer

if TYPE_CHECKING:
    from pirate.cli.bar import Bars


class Watching:
    """Shows the downloads of one command: one after the other, or ``several`` at once."""

    def __init__(self, output: Output, how: str, *, several: bool = False) -> None:
        """``how`` is what --progress says."""
        self._output = output
        self._several = several
        self._bars: Bars | None = None  # of all that are shown
        if output.quiet or output.json:
            how = "none"
        if how == "auto":
            how = "bar" if output.moving(output.stderr) else "plain"
        self._how = how

    def close(self) -> None:
        """Take all bars off the screen."""
        if self._bars:
            self._bars.close()

    def observer(self, ref: str, path: Callable[[], str]) -> tuple[Observer, Callable[[], None]]:
        """Who shows a download, and what to call when it is over, however it ends.

        ``path`` tells where it goes, once the first holder is found.
        """
        if self._output.json:
            return Json(self._output, ref, path), lambda: None
        if self._how == "bar":
            from pirate.cli.bar import Bar, Bars  # noqa: PLC0415 - loads rich, on a terminal only

            self._bars = self._bars or Bars(self._output)
            bar = Bar(self._output, self._bars)
            return bar, bar.close
        if self._how == "plain":
            return Plain(self._output, f"{ref}: " if self._several else ""), lambda: None
        return Silent(), lambda: None
