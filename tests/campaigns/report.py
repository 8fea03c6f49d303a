"""What a campaign prints."""

from collections.abc import Iterable, Mapping


def table(title: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Rows of equal length, the first one a heading; numbers to the right."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for first, *rest in cells:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print(" ", first.ljust(widths[0]), *numbers, sep="  ", flush=True)


def counts(title: str, names: Iterable[str], counter: Mapping[str, int]) -> None:
    """A table of how often each was counted."""
    table(title, [("", "times"), *((name, counter.get(name, 0)) for name in names)])


def failures(wrong: Iterable[str]) -> None:
    """One line for each."""
    for each in wrong:
        print("FAILED:", each, flush=True)
