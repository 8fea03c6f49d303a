"""A range of a file: cut out of the part file, into a file of its own."""

from pirate.byterange import ByteRange
from pirate.disk.partfile import PartFile
from pirate.errors import ExistsError, OutsideError
from pirate.fetch.download import Download
from pirate.fetch.target import Target
from pirate.model import Digest


def cut(
    download: Download, part: PartFile, asked: ByteRange, target: Target, digest: Digest
) -> None:
    """Give what was asked for its final name, once it is downloaded.

    The part file has done its duty then, and goes, unless an unfinished download of the whole
    has left more in it. Raises OutsideError, ExistsError or LocalIOError.
    """
    try:
        start, stop = asked.within(part.size)
        download.report.bytes = start, stop
        _publish(part, start, stop, target, digest)
    except OutsideError:
        _let_go(download, part)
        raise
    _let_go(download, part)


def _publish(part: PartFile, start: int, stop: int, target: Target, digest: Digest) -> None:
    with PartFile(target.folder, digest, cut=True) as piece:
        try:
            _copy(part, start, stop, piece)
        except BaseException:
            piece.truncate(0)
            raise
        try:
            target.publish(piece)
        except ExistsError:  # after any other error it may have its name already
            piece.truncate(0)
            raise


def _copy(part: PartFile, start: int, stop: int, piece: PartFile) -> None:
    piece.truncate(0)  # what a kill has left
    at = 0
    for data in part.pieces(start, stop):
        piece.write(data, at)
        at += len(data)


def _let_go(download: Download, part: PartFile) -> None:
    if not download.found_more:
        part.discard()
