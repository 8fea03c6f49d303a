"""Get one file to where it is wanted: judge the target, download, publish."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pirate.byterange import WHOLE, ByteRange
from pirate.disk.names import safe_name
from pirate.disk.partfile import PartFile, sweep
from pirate.errors import NoNetworkError, NotFoundError, StoppedError, TimedOutError, translated
from pirate.fetch.cut import cut
from pirate.fetch.download import Download
from pirate.fetch.follow import Follower, Sink
from pirate.fetch.target import Target, Verdict
from pirate.fetch.terms import Received, Terms
from pirate.model import Digest, Entry, Peer
from pirate.scope import Scope

# While nobody has the file, the network is asked again this often, in seconds.
ASK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Getter:
    """Gets files, or what is ``asked`` of them, on the same terms.

    ``wait``: seconds in which a first holder may appear. ``widen`` is called if nobody of
    ``peers`` has the file; if it is true there are more of them now.
    """

    peers: Callable[[], Sequence[Peer]]
    terms: Terms
    wait: float = 0.0
    widen: Callable[[], bool] = lambda: False
    asked: ByteRange = WHOLE

    def to_target(self, digest: Digest, target: Target) -> tuple[Verdict, Received]:
        """Bring ``digest`` to ``target``, verified, unless it is there already.

        A range needs a target with a name. Raises also OutsideError for one that has no bytes.
        """
        verdict, received = self._to_target(digest, target)
        if verdict is Verdict.PRESENT:
            received.size = target.size
            sweep(target.folder, digest)  # a kill may have come right after it was published
        return verdict, received

    def to_stream(self, digest: Digest, out: int) -> Received:
        """Write the file to the descriptor ``out`` as it comes, each segment once it is proven.

        The calling thread writes, so that a signal reaches it however long a reader takes.
        Without a chain not a byte is written before all of them are verified. Raises also
        BrokenPipeError, OutsideError for a range that has no bytes, and IntegrityError if what
        was written was under a false chain.
        """
        with (
            _scratch_folder() as folder,
            PartFile(folder, digest) as part,
            Sink(out) as sink,
            Scope(self.terms.stop) as scope,
        ):
            getter = replace(self, terms=replace(self.terms, stop=scope.stop))
            download = Download(digest, part, getter.terms, lambda _: None, self.asked)
            follower = Follower(download, part, sink, self.terms.deadline, self.asked)
            scope.spawn("download", lambda: follower.download(lambda: getter.run(download)))
            follower.run(digest)
            return download.report

    def run(self, download: Download) -> None:
        """Run it; while nobody has the file, again until ``wait`` is over."""
        waiting = self.terms.deadline.at_most(self.wait)
        while True:
            try:
                return download.run(self.peers)
            except (NotFoundError, NoNetworkError) as error:
                if self.widen():
                    continue
                if self.wait == 0:
                    raise
                if self.terms.stop.wait(min(ASK_AGAIN_SECONDS, waiting.left)):
                    raise StoppedError("stopped") from error
                if waiting.passed:
                    raise TimedOutError(f"waited {self.wait:g} s: {error}") from error

    def _to_target(self, digest: Digest, target: Target) -> tuple[Verdict, Received]:
        verdict = target.judge(digest if self.asked == WHOLE else None)
        if verdict is not Verdict.WANTED:
            return verdict, Received()

        def found(entry: Entry) -> None:
            if target.name is None:
                target.name = safe_name(entry.names[0])
                verdict = target.judge(digest)
                if verdict is not Verdict.WANTED:
                    raise _DeclinedError(verdict)

        with PartFile(target.folder, digest) as part:
            download = Download(digest, part, self.terms, found, self.asked)
            try:
                self.run(download)
            except _DeclinedError as declined:
                return declined.verdict, download.report
            if self.asked == WHOLE:
                target.publish(part)
            else:
                cut(download, part, self.asked, target, digest)
            return Verdict.WANTED, download.report


class _DeclinedError(Exception):
    """The first holder's name led to a target that needs no download."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict


@contextmanager
def _scratch_folder() -> Iterator[int]:
    """A descriptor of a private folder that is gone afterwards."""
    with translated("cannot make a temporary folder"):
        scratch = tempfile.TemporaryDirectory(prefix="pirate-")
    with scratch:
        folder = os.open(scratch.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield folder
        finally:
            os.close(folder)
