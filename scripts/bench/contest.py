"""Ways to get one file, in turns on the same data: trials, rows, and the table."""

import argparse
import hashlib
import os
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import measure
from measure import HERE, FailedError, MissingError, Place, Row
from ways import WAYS, Service, Setting, Way

MEBI = 1 << 20
NAME = "data.bin"


class Data(NamedTuple):
    """The file that is fetched."""

    path: Path
    digest: str


class Contestant(NamedTuple):
    """A way whose server runs."""

    way: Way
    service: Service


class Trial(NamedTuple):
    """One run of one contestant."""

    wall: float
    client_cpu: float
    server_cpu: float
    client_memory: int
    server_memory: int


def make_data(folder: Path, count: int) -> Data:
    """Write a file of random bytes, which thus are in the page cache."""
    folder.mkdir()
    path = folder / NAME
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("wb") as file:
        while count:
            piece = os.urandom(min(count, MEBI))
            digest.update(piece)
            file.write(piece)
            count -= len(piece)
    return Data(path, digest.hexdigest())


def fresh_folder(data: Data, scratch: Path) -> Path:
    """A new folder, when the machine is quiet and has as much memory at hand as a run will use.

    What was freed a while ago, a virtual machine may have given back; whoever comes next pays.
    And the last one's dirty pages are none of the next one's business.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    os.sync()
    touched = folder / "touched"
    shutil.copyfile(data.path, touched)
    touched.unlink()
    return folder


def check(target: Path, digest: str, name: str) -> None:
    """FailedError unless ``name`` has delivered the right bytes."""
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha1").hexdigest()
    if found != digest:
        raise FailedError(f"{name} delivered {found} instead of {digest}")


def trial(contestant: Contestant, data: Data, scratch: Path, place: Place) -> Trial:
    """Run one contestant once, and check what it has delivered."""
    way, service = contestant
    folder = fresh_folder(data, scratch)
    target = folder / NAME
    before = measure.cpu_seconds(service.pid)
    commands = [[*place.client, *service.fetch(target)]]
    if way.check:
        commands.append([*way.check, str(target)])
    costs = [measure.run(command, server=service.pid) for command in commands]
    server_cpu = measure.cpu_seconds(service.pid) - before
    check(target, data.digest, way.name)
    shutil.rmtree(folder)
    return Trial(
        sum(cost.wall for cost in costs),
        sum(cost.cpu for cost in costs),
        server_cpu,
        max(cost.memory for cost in costs),
        max(cost.server_memory for cost in costs),
    )


def contest(
    keys: Sequence[str], options: argparse.Namespace, data: Data, scratch: Path, place: Place = HERE
) -> dict[str, Row]:
    """Let the ways of these keys run in turns; says which are left out, and why."""
    with ExitStack() as stack:
        field: dict[str, Contestant] = {}
        for key in keys:
            own = Path(tempfile.mkdtemp(dir=scratch))
            setting = Setting(options.pirate, data.path, data.digest, own, place)
            try:
                service = stack.enter_context(WAYS[key].serving(setting))
            except MissingError as error:
                print(f"without {WAYS[key].name}: {error}")
            else:
                field[key] = Contestant(WAYS[key], service)
        if not field:
            raise MissingError("nothing is left to measure")
        trials: dict[str, list[Trial]] = {key: [] for key in field}
        order = list(field)
        for turn in range(options.runs):
            first = turn % len(order)
            for key in order[first:] + order[:first]:
                trials[key].append(trial(field[key], data, scratch, place))
    return {key: _row(WAYS[key].name, each) for key, each in trials.items()}


def _row(name: str, trials: list[Trial]) -> Row:
    """What the table shows of one contestant."""
    cells = {
        "client_cpu_s": statistics.median(one.client_cpu for one in trials),
        "server_cpu_s": statistics.median(one.server_cpu for one in trials),
        "client_rss": max(one.client_memory for one in trials),
        "server_rss": max(one.server_memory for one in trials),
    }
    return Row(name, [one.wall for one in trials], cells)


def ratios(rows: dict[str, Row]) -> dict[str, float]:
    """The first row's time to each one's."""
    return {
        key: round(ours.wall / one.wall, 3)
        for ours in list(rows.values())[:1]
        for key, one in rows.items()
    }


def print_table(rows: dict[str, Row]) -> None:
    """Medians of the times; memory is the greatest."""
    print(f"{'':<24}{'wall s':>8}{'min - max':>16}{'CPU s':>14}{'peak MB':>14}{'ratio':>8}")
    print(f"{'':<24}{'':>24}{'get + serve':>14}{'get + serve':>14}")
    for one, ratio in zip(rows.values(), ratios(rows).values(), strict=True):
        spread = f"{min(one.walls):.2f} - {max(one.walls):.2f}"
        cpu = f"{one.cells['client_cpu_s']:.2f} + {one.cells['server_cpu_s']:.2f}"
        memory = "{:.0f} + {:.0f}".format(
            *(one.cells[key] / 1e6 for key in ("client_rss", "server_rss"))
        )
        line = f"{one.name:<24}{one.wall:>8.2f}{spread:>16}{cpu:>14}{memory:>14}"
        print(line + f"{ratio:>8.2f}")
    first = next(iter(rows.values())).name
    print(f"ratio: the time of {first} to this one's; below 1 {first} is faster")
