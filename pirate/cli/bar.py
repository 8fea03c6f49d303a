"""The progress bar on a terminal."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pirate.cli.output import Output
from pirate.cli.progress import Plain
from pirate.cli.text import harmless, rate
from pirate.disk.names import safe_name
from pirate.model import Entry

# Longer names leave no room for the bar on a terminal of 80 columns.
NAME_CELLS = 24


class Bar(Plain):
    """A bar instead of the lines of ``Plain``; close it before the result is printed."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            _Speed(),
            TimeRemainingColumn(),
            console=Console(file=output.stderr, no_color=not output.colored(output.stderr)),
            transient=True,
        )
        self._task: TaskID | None = None

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        super().started(entry, resumed)
        name = Text(harmless(safe_name(entry.names[0])))
        name.truncate(NAME_CELLS, overflow="ellipsis")
        self._task = self._progress.add_task(name.plain, total=entry.size, completed=resumed)
        self._progress.start()

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=size)

    def say(self, text: str) -> None:
        """Print a remark above the bar, which is drawn again below it."""
        self._progress.console.print(Text(f"pirate: {harmless(text)}"), soft_wrap=True)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._progress.stop()


class _Speed(ProgressColumn):
    """In the units of all our other figures; rich's own are decimal."""

    def render(self, task: Task) -> Text:
        return Text(rate(task.speed) if task.speed else "", justify="right")
