"""Tell gets and servers to stop at random instants; they are out soon, and nothing is lost."""

import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

from campaigns.holders import Holders, Sample
from campaigns.place import Place
from etcd_server import EtcdServer
from processes.network import announced
from processes.peers import Done, Running, until

from pirate.model import Address

LONGEST_SECONDS = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
STATES = ("Python starts", "starting", "at work")

# A traceback without this is of Python: it had not got to the first lines of ours.
OURS = "/pirate/cli/"


class Stopping:
    """One campaign. Everything random comes from ``rng``."""

    def __init__(
        self,
        folder: Path,
        rng: Random,
        *,
        seconds: float,
        naive: Sequence[str] = (),
    ) -> None:
        """``seconds``: how long a stop may take; ``naive`` runs who is stopped, carelessly."""
        self._folder = folder
        self._rng = rng
        self._seconds = seconds
        self._naive = naive
        self._length = 1.0  # seconds that who is not stopped takes; measured as we go
        self.stops: Counter[str] = Counter()  # by what it was at
        self.too_late = 0  # signals that found the work done
        self.times: list[float] = []
        self.wrong: list[str] = []

    def gets(self, holders: Holders, stops: int, most_wrong: int = 10) -> bool:
        """Stop so many downloads; each must go on with what it had. Whether nothing was wrong."""
        while self.stops.total() < stops and len(self.wrong) < most_wrong:
            sample = self._rng.choice(holders.samples)
            place = Place(self._folder / "place", sample)
            get = ("get", sample.digest, *holders.all(), "-d", place.folder, "--json")
            for _ in range(self._rng.randint(1, 3)):
                if self._stop_get(holders, place, get):
                    break
            self._finish(place, get)
            shutil.rmtree(place.folder)
        return not self.wrong

    def servers(self, sample: Sample, etcd: EtcdServer, stops: int, most_wrong: int = 10) -> bool:
        """Stop so many servers, each with a guest; they withdraw. Whether nothing was wrong."""
        shared = self._folder / "shared"
        shared.mkdir()
        (shared / sample.name).write_bytes(sample.content)
        while self.stops.total() < stops and len(self.wrong) < most_wrong:
            self._stop_server(shared, sample, etcd)
        return not self.wrong

    def _stop_get(self, holders: Holders, place: Place, get: Sequence[object]) -> bool:
        """Whether it had come to its end before."""
        number = self._rng.choice(SIGNALS)
        holders.asked.clear()
        with Running(*get, prefix=self._naive) as getting:
            time.sleep(self._rng.uniform(0, 1.1 * self._length))
            done = getting.stopped_by(number, LONGEST_SECONDS)
        published, _, wrong = place.look()
        if done.code == 0:
            self.too_late += 1
            return True
        self._judge("get", done, number, wrong, at_work=bool(holders.asked.reads))
        return published

    def _finish(self, place: Place, get: Sequence[object]) -> None:
        """Run it to its end: it goes on where it was."""
        published, proven, wrong = place.look()
        began = time.monotonic()
        with Running(*get, prefix=self._naive) as getting:
            ended = getting.ends(LONGEST_SECONDS)
        if not published and not proven:
            self._length = time.monotonic() - began
        if ended.code:
            wrong.append(f"afterwards: exit code {ended.code}: {ended.out.strip()}")
        else:
            wrong += place.finished()
            last = json.loads(ended.out.splitlines()[-1])
            kept = place.sample.bytes_of(proven or set())
            if last["status"] == "downloaded" and last["resumed_bytes"] < kept:
                wrong.append(f"{last['resumed_bytes']} bytes were resumed, {kept} were proven")
        self._note("get", wrong)

    def _stop_server(self, shared: Path, sample: Sample, etcd: EtcdServer) -> None:
        number = self._rng.choice(SIGNALS)
        port = self._folder / "port"
        place = Place(self._folder / "place", sample)
        flags = ("--listen", "127.0.0.1:0", "--port-file", port, "--etcd", etcd.address)
        with ExitStack() as stack:
            serve = ("serve", shared, *flags, "--ttl", "1m", "--name", "stopped")
            serving = stack.enter_context(Running(*serve, prefix=self._naive))
            if ready := self._rng.random() < 0.7:
                until(port.exists, LONGEST_SECONDS)
                address = Address("127.0.0.1", int(port.read_text()))
                get = ("get", sample.digest, "--peer", address, "-d", place.folder)
                getting = stack.enter_context(Running(*get))
            time.sleep(self._rng.uniform(0, 1.0))
            done = serving.stopped_by(number, LONGEST_SECONDS)
            if ready:
                getting.kill()
        wrong = place.look().wrong
        if port.exists():
            wrong.append("its port file is left")
            port.unlink()
        if names := announced(etcd.address):
            wrong.append(f"it is announced still: {names}")
            etcd.restart_empty()
        if ready and done.code:
            wrong.append(f"exit code {done.code}: {done.err.strip()}")
        self._judge("serve", done, number, wrong, at_work=ready)
        shutil.rmtree(place.folder)

    def _judge(
        self, role: str, done: Done, number: int, wrong: list[str], *, at_work: bool
    ) -> None:
        """What was stopped, and how it ended."""
        early = "KeyboardInterrupt" in done.err and OURS not in done.err
        if not early:
            if done.code not in {-number, 128 + number, 0}:
                wrong.append(f"exit code {done.code}: {done.err.strip()}{done.out.strip()[-300:]}")
            if "Traceback" in done.err:
                wrong.append(f"a traceback: {done.err.strip()}")
        if done.seconds > self._seconds:
            wrong.append(f"it took {done.seconds:.2f} s")
        self.stops[STATES[0 if early else 1 + at_work]] += 1
        self.times.append(done.seconds)
        self._note(f"{role}, {signal.Signals(number).name}", wrong)

    def _note(self, what: str, wrong: list[str]) -> None:
        self.wrong += [f"{what}: {each}" for each in wrong[:3]]
