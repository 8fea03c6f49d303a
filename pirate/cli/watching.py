"""Who watches a download, as the user wants it."""

from collections.abc import Callable

from pirate.cli.output import Output
from pirate.cli.progress import Json, Plain, Silent
from pirate.fetch.terms import Observer


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
