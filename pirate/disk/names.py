"""Names that a peer suggested, made safe: the type that the rest of the disk insists on."""

import re
import unicodedata
from typing import NewType

# One component of a path: not empty, no separator, not hidden, at most 255 bytes, nothing
# that a terminal would obey. Only the functions below make one.
SafeName = NewType("SafeName", str)
SafePath = tuple[SafeName, ...]

NAME_BYTES = 255
_PATH_PARTS = 64

# A name that nothing has to be done to.
_PLAIN = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,126}", re.ASCII)

# What can move a cursor, reorder or hide text: control, format (bidi among them), surrogate,
# private use, and the line and paragraph separators.
UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe_name(suggested: str) -> SafeName:
    """The last part of a suggested path as one component that may be created anywhere."""
    return _safe(suggested.replace("\\", "/").rstrip("/").rpartition("/")[2])


def safe_path(suggested: str) -> SafePath:
    """A suggested relative path, each of its components safe; at least one."""
    parts = [part for part in suggested.split("/") if part not in ("", ".")]
    return tuple(map(_safe, parts[:_PATH_PARTS])) or (_safe(""),)


def numbered(name: SafeName, number: int) -> SafeName:
    """``name (2).ext`` and so on: another name for when this one is taken."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    return _shortened(stem, f" ({number}){dot}{suffix}")


def _safe(part: str) -> SafeName:
    if _PLAIN.fullmatch(part):  # as nearly all are, and there may be 100,000
        return SafeName(part)
    seen = "".join(
        "_"
        if character in "/\\" or unicodedata.category(character) in UNSEEN_CATEGORIES
        else character
        for character in part
    ).strip()
    if seen.startswith("."):
        seen = "_" + seen[1:]
    stem, dot, suffix = seen.rpartition(".")
    if not stem:
        stem, dot, suffix = seen, "", ""
    return _shortened(stem or "unnamed", f"{dot}{suffix}")


def _shortened(stem: str, suffix: str) -> SafeName:
    """Both together, in 255 bytes: what is too long is cut from the end of the stem."""
    tail = suffix.encode()[: NAME_BYTES // 2]
    head = stem.encode()[: NAME_BYTES - len(tail)]
    return SafeName((head.decode(errors="ignore") + tail.decode(errors="ignore")) or "unnamed")
