"""Which segments of a part file are proven: an append-only record, for those who go on.

A record is written after its segment, so within one boot of the machine it is to be believed:
a killed process loses nothing, and nothing has to be synced for each segment. Before other
bytes take the place of a segment its record is taken back. After a power loss the records may
be there and the bytes not: then every segment is hashed again.
"""

import binascii
import contextlib
import os
import stat
import struct
from pathlib import Path
from typing import Any, NamedTuple, Self

from pirate.chain import STATE_SIZE, Link
from pirate.disk.tree import JOURNAL_SUFFIX
from pirate.errors import translated
from pirate.model import Digest

_MAGIC = b"pirate journal 1"
# magic, digest, size of the file, inode of the part file, boot id; then their CRC-32.
_HEADER = struct.Struct(f">16s{Digest.SIZE}sQQ16s")
# number of the segment, the states before and after it; then their CRC-32. Two states of zeros
# take back what was said of a segment.
_RECORD = struct.Struct(f">I{STATE_SIZE}s{STATE_SIZE}s")
_NOTHING = (bytes(STATE_SIZE), bytes(STATE_SIZE))
_CRC = struct.Struct(">I")

# 16,384 links need 0.8 MB; what lies behind is no journal of ours.
_MOST_BYTES = 4 * 1024 * 1024

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Kept(NamedTuple):
    """What a journal says of its part file; ``certain`` unless the machine was restarted."""

    size: int
    links: dict[int, Link]
    certain: bool


class Journal:
    """The journal beside a part file, whose lock protects it too."""

    def __init__(self, folder: int, digest: Digest, inode: int) -> None:
        """``folder`` is an open descriptor; ``inode`` is the part file's."""
        self._folder = folder
        self._digest = digest
        self._inode = inode
        self._name = f".{digest}{JOURNAL_SUFFIX}"
        with translated(f"cannot write {self._name}"):
            self._file = _open(self._name, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close it; nothing is left of one that nothing was written to."""
        if os.fstat(self._file).st_size == 0:
            self.remove()
        os.close(self._file)

    def read(self) -> Kept | None:
        """What it says; None if it is new, or of another part file, or damaged at its head."""
        with translated(f"cannot read {self._name}"):
            data = _read_all(self._file)
        decoded = decode(data, self._digest, self._inode)
        if decoded is None:
            return None
        kept, end = decoded
        with translated(f"cannot repair {self._name}"):
            os.ftruncate(self._file, end)
        return kept

    def begin(self, size: int, links: dict[int, Link]) -> None:
        """Start anew, for a file of ``size`` bytes of which these segments are proven.

        The head is written last: until then there is no journal, rather than half of one.
        """
        head = _sealed(_HEADER.pack(_MAGIC, self._digest, size, self._inode, boot_id()))
        with translated(f"cannot write {self._name}"):
            os.ftruncate(self._file, 0)
            records = [_record(index, link.before, link.after) for index, link in links.items()]
            self._write(b"".join(records), len(head))
            self._write(head, 0)

    def note(self, index: int, link: Link) -> None:
        """The bytes of a segment are written, and prove ``link``."""
        self._append(_record(index, link.before, link.after))

    def forget(self, index: int) -> None:
        """Other bytes are about to take the place of a segment."""
        self._append(_record(index, *_NOTHING))

    def remove(self) -> None:
        """The part file has its name, or is given up: the journal is not needed any more."""
        with contextlib.suppress(OSError):
            os.unlink(self._name, dir_fd=self._folder)

    def _append(self, data: bytes) -> None:
        with translated(f"cannot write {self._name}"):
            self._write(data, os.fstat(self._file).st_size)

    def _write(self, data: bytes, offset: int) -> None:
        while data:
            count = os.pwrite(self._file, data, offset)
            data = data[count:]
            offset += count


def decode(data: bytes, digest: Digest, inode: int) -> tuple[Kept, int] | None:
    """What a journal says, and where its torn tail begins; None if it is of another file."""
    head = _checked(data, 0, _HEADER)
    if head is None or (head[0], head[1], head[3]) != (_MAGIC, digest, inode):
        return None
    _, _, size, _, boot = head
    links: dict[int, Link] = {}
    at = _HEADER.size + _CRC.size
    while record := _checked(data, at, _RECORD):
        index, before, after = record
        if (before, after) == _NOTHING:
            links.pop(index, None)
        else:
            links[index] = Link(before, after, size)
        at += _RECORD.size + _CRC.size
    return Kept(size, links, certain=boot == boot_id()), at


def boot_id() -> bytes:
    """16 bytes that change with every start of the machine.

    Where the system has none they are new each time: then every resume hashes again.
    """
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError):
        return os.urandom(16)


def _open(name: str, folder: int) -> int:
    """A regular file that has no other name, so that what is written to it is the journal only."""
    file = os.open(name, _FLAGS, 0o666, dir_fd=folder)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(file)
        raise OSError("it is something else")
    return file


def _record(index: int, before: bytes, after: bytes) -> bytes:
    return _sealed(_RECORD.pack(index, before, after))


def _sealed(data: bytes) -> bytes:
    return data + _CRC.pack(binascii.crc32(data))


def _checked(data: bytes, at: int, form: struct.Struct) -> tuple[Any, ...] | None:
    """The fields at an offset, if they are all there and their checksum is right."""
    end = at + form.size
    if end + _CRC.size > len(data):
        return None
    (crc,) = _CRC.unpack_from(data, end)
    return form.unpack_from(data, at) if crc == binascii.crc32(data[at:end]) else None


def _read_all(file: int) -> bytes:
    size = os.fstat(file).st_size
    return os.pread(file, min(size, _MOST_BYTES), 0)
