"""The progress bar on a terminal."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

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
from pirate.cli.output import Output
from pirate.cli.progress import Plain
from pirate.disk.names import safe_name
from pirate.model import Entry

# Longer names leave no room for the bar on a terminal of 80 columns.
NAME_CELLS = 20


class Bars:
    """The bars of one command, above which the output prints."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._progress: Progress | None = None  # never started again: it would erase what is above

    def add(self, name: str, entry: Entry, resumed: int, plain: Plain) -> TaskID:
        """Draw one more, with the speed of ``plain`` and, if it is the only one, its line."""
        progress = self._progress or drawn(self._output)
        task = progress.add_task(
            name,
            total=entry.size,
            completed=resumed,
            meter=plain.meter,
            below=plain.holders,
        )
        if not self._progress:
            self._progress = progress
            progress.start()
            self._output.above = partial(_print, progress)
        return task

    def update(self, task: TaskID, done: int, size: int) -> None:
        """So far it has come."""
        if self._progress:
            self._progress.update(task, completed=done, total=size)

    def remove(self, task: TaskID) -> None:
        """Take one off the screen."""
        if self._progress:
            self._progress.remove_task(task)
            if not self._progress.task_ids:
                self.close()

    def close(self) -> None:
        """Take all off the screen."""
        if self._progress:
            self._output.above = None
            self._progress.stop()
            self._progress = None


class Bar(Plain):
    """A bar instead of the lines of ``Plain``; close it before the result is printed."""

    def __init__(self, output: Output, bars: Bars) -> None:
        super().__init__(output)
        self._bars = bars
        self._task: TaskID | None = None

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        super().started(entry, resumed)
        name = Text(text.harmless(safe_name(entry.names[0])))
        name.truncate(NAME_CELLS, overflow="ellipsis")
        self._task = self._bars.add(name.plain, entry, resumed, self)

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        self.meter.progress(done, size)
        if self._task is not None:
            self._bars.update(self._task, done, size)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._task is not None:
            self._bars.remove(self._task)
            self._task = None


def drawn(output: Output) -> Progress:
    """Bars on stderr, with the speed of each task's ``meter``; below a single one its line."""

    def rate(task: Task) -> str:
        return text.rate(task.fields["meter"].rate)

    def left(task: Task) -> str:
        seconds = task.fields["meter"].left
        return "" if seconds is None else f"{text.seconds(seconds)} left"

    def below(tasks: Sequence[Task]) -> str:
        return tasks[0].fields["below"]() if len(tasks) == 1 else ""

    return _Lines(
        below,
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        _Computed(rate),
        _Computed(left),
        console=Console(file=output.stderr, no_color=not output.colored(output.stderr)),
    )


class _Computed(ProgressColumn):
    """A text made at each drawing, in the units of all our other figures; rich's are decimal."""

    def __init__(self, make: Callable[[Task], str]) -> None:
        super().__init__()
        self._make = make

    def render(self, task: Task) -> Text:
        return Text(self._make(task), justify="right")


class _Lines(Progress):
    """The bar, and a line below it."""

    def __init__(
        self, below: Callable[[Sequence[Task]], str], *columns: ProgressColumn, console: Console
    ) -> None:
        self._below = below  # rich draws before it is ready
        super().__init__(*columns, console=console, transient=True, expand=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        line = text.harmless(f"  {self._below(self.tasks)}")
        yield Text(line, style="dim", overflow="ellipsis")


class FilesBar:
    """A bar of files, above which the output prints; close it before the sum is printed."""

    def __init__(self, output: Output, total: int, line: Callable[[], str]) -> None:
        """``line`` says how far it is, when it is drawn."""
        self._progress = _Lines(
            lambda _: line(),
            BarColumn(bar_width=None),
            console=Console(file=output.stderr, no_color=not output.colored(output.stderr)),
        )
        self._output = output
        self._task = self._progress.add_task("", total=total)
        self._progress.start()
        output.above = partial(_print, self._progress)

    def advance(self) -> None:
        """One more file."""
        self._progress.advance(self._task)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._output.above = None
        self._progress.stop()


def _print(progress: Progress, line: str) -> None:
    """Print above the bars, which are drawn again below."""
    progress.console.print(Text(line), soft_wrap=True)
