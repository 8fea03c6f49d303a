"""Which files below a shared folder are shared: patterns on their paths, and no hidden ones."""

import fnmatch
import re
from collections.abc import Iterable

# What a part of a pattern is made of: a set, or any one character.
_PIECE = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)

_BELOW = "(?:/.*)?"
_FOLDERS = "(?:[^/]+/)*"


def pattern(text: str) -> str:
    """A pattern as the user wrote it, if it is one (docs/CLI.md, "What is shared").

    ValueError for what would not mean what its author thinks.
    """
    text = text.strip(" ")
    if text.startswith("!"):  # as in .gitignore
        raise ValueError(f"{text!r}: there is no taking back; write [!]... for a name with a !")
    if {"", ".", ".."} & set(text.strip("/").split("/")):
        raise ValueError(f"{text!r} is no path below a shared folder")
    if "[" in _PIECE.findall(text):  # also what a comma has cut in two
        raise ValueError(f"{text!r}: a [ is not closed; write [[] for the character, ? for a comma")
    return text


class Rules:
    """What is shared of the files below a shared folder. A path is below it, with ``/`` between."""

    def __init__(
        self, include: Iterable[str] = (), exclude: Iterable[str] = (), *, hidden: bool = False
    ) -> None:
        """``include``: only what one of these matches, if there are any; ``exclude`` beats it."""
        self.hidden = hidden
        self._include = _compiled(include)
        self._exclude = _compiled(exclude)

    @property
    def patterns(self) -> bool:
        """Whether there are any; if not, it is the name alone that decides."""
        return bool(self._include or self._exclude)

    def enters(self, path: str, name: str) -> bool:
        """Whether a folder is walked whose last part is ``name``; all above it are."""
        return self._named(name) and not (self._exclude and self._exclude.fullmatch(f"{path}/"))

    def shares(self, path: str, name: str) -> bool:
        """Whether a file is shared that lies in a folder that is walked."""
        if not self._named(name) or (self._exclude and self._exclude.fullmatch(path)):
            return False
        return not self._include or bool(self._include.fullmatch(path))

    def _named(self, name: str) -> bool:
        return self.hidden or not name.startswith(".")


def _compiled(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """One expression for all patterns: what it matches in full, one of them matches."""
    each = [_translated(pattern) for pattern in patterns]
    return re.compile("|".join(each), re.DOTALL) if each else None


def _translated(pattern: str) -> str:
    """The paths that a pattern matches; that of a folder has a ``/`` at its end."""
    parts = pattern.strip("/").split("/")
    anchored = pattern.startswith("/") or len(parts) > 1
    found = "" if anchored else _FOLDERS
    for part in parts[:-1]:
        found += _FOLDERS if part == "**" else f"{_part(part)}/"
    # A folder stands for all that is in it; a slash at the end says that it has to be one.
    return found + _part(parts[-1]) + ("/.*" if pattern.endswith("/") else _BELOW)


def _part(text: str) -> str:
    """One part of a path. What is no set, ``*`` or ``?`` is itself."""
    return "".join(map(_piece, _PIECE.findall(text)))


def _piece(text: str) -> str:
    if text[0] == "*":
        return "[^/]*"
    if text == "?":
        return "[^/]"
    if len(text) > 1:  # fnmatch knows what a set may have in it
        return "(?!/)" + fnmatch.translate(text).removeprefix("(?s:").removesuffix(r")\Z")
    return re.escape(text)
