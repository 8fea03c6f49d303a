"""Text for a terminal: foreign names made harmless, and numbers that people read."""

from pirate.disk.names import UNSEEN_CATEGORIES

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def harmless(text: str) -> str:
    """The one function that lets text of other peers, or of errors, reach a terminal.

    Whatever could move the cursor, reorder or hide text (control, format, bidi, surrogate,
    unassigned and separator characters) is shown as its escape instead.
    """
    if text.isascii() and text.isprintable():
        return text
    import unicodedata  # noqa: PLC0415 - rarely needed, and a command starts sooner without

    return "".join(
        character
        if unicodedata.category(character) not in UNSEEN_CATEGORIES
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def size(count: float) -> str:
    """A number of bytes in at most 8 characters: ``512 B``, ``1.5 MiB``."""
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def rate(bytes_per_second: float) -> str:
    """A speed: ``1.2 GiB/s``."""
    return f"{size(bytes_per_second)}/s"


def seconds(value: float) -> str:
    """A duration: ``0.4 s``, ``75 s``, ``2 m 5 s``, ``3 h 20 m``."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes, rest = divmod(int(value), 60)
    if minutes < 120:
        return f"{minutes} m {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m"


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``, ``1,000 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
