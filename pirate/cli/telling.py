"""What ``pirate get`` says of a file when it is there."""

from pirate.byterange import WHOLE, ByteRange
from pirate.cli.output import Output
from pirate.cli.progress import label
from pirate.cli.text import counted, harmless, rate, seconds, size
from pirate.fetch.target import Verdict
from pirate.fetch.terms import Received
from pirate.model import Digest


def remark(
    path: str, verdict: Verdict, received: Received, output: Output, asked: ByteRange
) -> None:
    """Say on stderr what it took."""
    if verdict is Verdict.SKIPPED:
        what = "holds other content" if asked == WHOLE else "exists"
        output.note(f"{path} {what} and was left alone")
    elif verdict is Verdict.PRESENT:
        output.note(f"{path} was here already")
    elif verdict is Verdict.WANTED:
        speed = rate(received.received / received.elapsed) if received.elapsed else ""
        took = f"{size(received.received)} in {seconds(received.elapsed)}, {speed}"
        count = counted(len(received.sources), "peer")
        output.note(f"{_verified(received)}; {took} from {count}")


def tell(digest: Digest, path: str, verdict: Verdict, received: Received, output: Output) -> None:
    """Say on stdout where a file is."""
    if output.json:
        elapsed, sources = received.elapsed, received.sources.items()
        output.result(
            status=verdict.value,
            sha1=str(digest),
            size=received.size,
            path=path,
            elapsed_s=round(elapsed, 6),
            rate_bps=round(received.received / elapsed) if elapsed else None,
            received_bytes=received.received,
            resumed_bytes=received.resumed,
            sources=[{"peer": label(peer), "bytes": count} for peer, count in sources],
            range=_range_of(received),
            proof=_proof(received),
        )
    elif verdict is not Verdict.SKIPPED:
        output.line(harmless(path) if output.stdout.isatty() else path)


def _range_of(received: Received) -> dict[str, int] | None:
    if received.bytes is None:
        return None
    start, stop = received.bytes
    return {"start": start, "bytes": stop - start}


def _proof(received: Received) -> str | None:
    """What proves a range; the whole file is proven by its digest or not there at all."""
    if received.bytes is None:
        return None
    return "digest" if received.by_digest else "chain"


def _verified(received: Received) -> str:
    if received.bytes is None:
        return "verified"
    start, stop = received.bytes
    how = "" if received.by_digest else " under the chain that its holders vouch for"
    return f"{stop - start:,} bytes from byte {start:,} on, verified{how}"
