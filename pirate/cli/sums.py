"""sha1sum's format: a digest, two spaces, a name; names with odd characters escaped."""

from collections.abc import Iterable, Iterator

from pirate.errors import UsageError
from pirate.model import Digest
from pirate.ref import parse_ref


def sum_line(digest: Digest, name: str) -> str:
    r"""One line; a leading ``\`` says that the name has ``\\``, ``\n`` or ``\r`` escaped."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  {escaped}"


def read_sums(lines: Iterable[str], where: str) -> Iterator[tuple[Digest, str]]:
    """The digests and names of a list. UsageError names the line that is none."""
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        escaped = text.startswith("\\")
        word, _, name = text.removeprefix("\\").partition(" ")
        digest = parse_ref(word)
        if not isinstance(digest, Digest) or len(name) < 2 or name[0] not in " *":
            raise UsageError(f"{where}, line {number}: expected a SHA-1, two spaces and a name")
        yield digest, _unescaped(name[1:]) if escaped else name[1:]


def _unescaped(name: str) -> str:
    return name.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")
