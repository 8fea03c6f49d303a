"""The progress bar on a terminal."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pirate.cli.output import Output
from pirate.cli.progress import Plain
from pirate.cli.text import harmless
from pirate.disk.names import safe_name
from pirate.model import Entry


class Bar(Plain):
    """A bar instead of the lines of ``Plain``; close it before the result is printed."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(file=output.stderr),
            transient=True,
        )
        self._task: TaskID | None = None

    def started(self, entry: Entry, resumed: int) -> None:
        """See ``Observer``."""
        super().started(entry, resumed)
        name = harmless(safe_name(entry.names[0]))
        self._task = self._progress.add_task(name, total=entry.size, completed=resumed)
        self._progress.start()

    def progress(self, done: int, size: int) -> None:
        """See ``Observer``."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=size)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._progress.stop()
