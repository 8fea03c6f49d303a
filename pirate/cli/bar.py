"""The progress bar on a terminal."""

from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from pirate.cli import text
from pirate.cli.meter import Meter
from pirate.cli.output import Output
from pirate.cli.progress import Plain
from pirate.disk.names import safe_name
from pirate.model import Entry

# Longer names leave no room for the bar on a terminal of 80 columns.
NAME_CELLS = 20


class Bar(Plain):
    """A bar instead of the lines of ``Plain``; close it before the result is printed."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._progress = drawn(output, self._meter, self.holders)
        self._task: TaskID | None = None

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        super().started(entry, resumed)
        name = Text(text.harmless(safe_name(entry.names[0])))
        name.truncate(NAME_CELLS, overflow="ellipsis")
        self._task = self._progress.add_task(name.plain, total=entry.size, completed=resumed)
        self._progress.start()

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        self._meter.progress(done, size)
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=size)

    def say(self, remark: str) -> None:
        """Print a remark above the bar, which is drawn again below it."""
        self._progress.console.print(Text(f"pirate: {text.harmless(remark)}"), soft_wrap=True)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._progress.stop()


def drawn(output: Output, meter: Meter, below: Callable[[], str]) -> Progress:
    """A bar on stderr with the speed of ``meter``, and a line below it."""

    def left() -> str:
        seconds = meter.left
        return "" if seconds is None else f"{text.seconds(seconds)} left"

    return _Lines(
        lambda: Text(text.harmless(f"  {below()}"), style="dim", overflow="ellipsis"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        _Computed(lambda: text.rate(meter.rate)),
        _Computed(left),
        console=Console(file=output.stderr, no_color=not output.colored(output.stderr)),
    )


class _Computed(ProgressColumn):
    """A text made at each drawing, in the units of all our other figures; rich's are decimal."""

    def __init__(self, make: Callable[[], str]) -> None:
        super().__init__()
        self._make = make

    def render(self, _: Task) -> Text:
        return Text(self._make(), justify="right")


class _Lines(Progress):
    """The bar, and a line below it."""

    def __init__(
        self, below: Callable[[], Text], *columns: ProgressColumn, console: Console
    ) -> None:
        self._below = below  # rich draws before it is ready
        super().__init__(*columns, console=console, transient=True, expand=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield self._below()


class FilesBar:
    """A bar of files; close it before the sum is printed."""

    def __init__(self, output: Output, total: int, line: Callable[[], str]) -> None:
        """``line`` says how far it is, when it is drawn."""
        self._progress = _Lines(
            lambda: Text(f"  {line()}", style="dim", overflow="ellipsis"),
            BarColumn(bar_width=None),
            console=Console(file=output.stderr, no_color=not output.colored(output.stderr)),
        )
        self._task = self._progress.add_task("", total=total)
        self._progress.start()

    def advance(self) -> None:
        """One more file."""
        self._progress.advance(self._task)

    def say(self, remark: str) -> None:
        """Print a remark above the bar."""
        self._progress.console.print(Text(f"pirate: {text.harmless(remark)}"), soft_wrap=True)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._progress.stop()
