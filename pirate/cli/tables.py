"""Rows of text: a table on a terminal, aligned columns elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TextIO

from pirate.cli.text import harmless

Row = Sequence[str]

# rich measures every cell, at 0.1 ms each: beyond this many rows plain columns come sooner.
MOST_RICH_ROWS = 500


def print_table(
    head: Row, rows: Sequence[Row], stream: TextIO, *, right: frozenset[int], rich: bool
) -> None:
    """Print rows under ``head``; the columns ``right`` are aligned to the right."""
    shown = [[harmless(cell) for cell in row] for row in rows]
    if rich and len(rows) <= MOST_RICH_ROWS:
        _rich(head, shown, stream, right)
    else:
        _plain(head, shown, stream, right)


def long_table(
    head: Row, rows: Iterable[Row], *, right: frozenset[int], widths: Sequence[int]
) -> Iterator[str]:
    """The lines of a table whose columns are as wide as they are told to be."""
    last = len(head) - 1
    form = "  ".join(
        "{}" if index == last else f"{{:{'>' if index in right else '<'}{width}}}"
        for index, width in enumerate((*widths, 0))
    )
    line = (form + "\n").format
    for row in chain((head,), rows):
        yield line(*map(harmless, row))


def _plain(head: Row, rows: Sequence[Row], stream: TextIO, right: frozenset[int]) -> None:
    last = len(head) - 1
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (
            cell.rjust(width) if index in right else cell if index == last else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells), file=stream)


def _rich(head: Row, rows: Sequence[Row], stream: TextIO, right: frozenset[int]) -> None:
    from rich.console import Console  # noqa: PLC0415 - 40 ms, on a terminal only
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, title in enumerate(head):
        table.add_column(title, justify="right" if index in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    # Wider than any row, at two cells a character: what is too long for the terminal is wrapped
    # by it, and a name that is copied from there has no gap.
    width = sum(2 * max(map(len, column)) + 2 for column in zip(head, *rows, strict=True))
    console = Console(
        file=stream,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        width=width,
        height=len(rows) + 1,  # else a dumb terminal's width would be 80 whatever we say
    )
    console.print(table)
