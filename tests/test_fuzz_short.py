"""The campaign of scripts/fuzz, short; and that it would not let a broken decoder pass."""

import subprocess
import sys
import time
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from pirate.errors import ProtocolError
from pirate.wire.messages import MESSAGES

FUZZ = Path(__file__).parents[1] / "scripts" / "fuzz"


@pytest.fixture(name="fuzz", scope="module")
def _fuzz() -> ModuleType:
    loader = SourceFileLoader("fuzz", str(FUZZ))
    spec = spec_from_loader("fuzz", loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_every_decoder_keeps_its_promise_for_20000_inputs() -> None:
    done = subprocess.run(
        [sys.executable, FUZZ, "--inputs", "20000", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.splitlines()[2:]
    decoders = {"Header", "ServerSession", "ClientSession", "announcement", "TXT", "journal"}
    decoders |= {message.__name__ for message in MESSAGES.values()}
    assert {row.split()[0] for row in rows if " 20,000 " in row} == decoders


def crashes(data: bytes) -> None:
    if data[:2] == b"ok" and len(data) != 2:
        raise KeyError(data[2])


def dawdles(data: bytes) -> None:
    end = time.thread_time() + (0.06 if data == b"ko" else 0)
    while time.thread_time() < end:
        pass


def hoards(data: bytes) -> None:
    if len(data) > 20:
        bytearray(b"x") * 64 * 1024 * 1024
    raise ProtocolError


def refuses(_: bytes) -> None:
    raise ProtocolError


@pytest.mark.parametrize(
    ("decoder", "why"),
    [
        (crashes, "FAILED: broken raised KeyError"),
        (dawdles, "FAILED: broken took 6"),
        (hoards, "FAILED: grew by 6"),
    ],
)
def test_a_broken_decoder_is_found_out(
    fuzz: ModuleType,
    decoder: Callable[[bytes], None],
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = fuzz.Target("broken", decoder, [b"ok", b"ko"])
    assert not fuzz.campaign([target], 2000, 1)
    assert why in capsys.readouterr().out


def test_a_decoder_that_refuses_everything_passes(fuzz: ModuleType) -> None:
    assert fuzz.campaign([fuzz.Target("strict", refuses, [b"ok"])], 100, 1)


def test_the_same_seed_throws_the_same(fuzz: ModuleType) -> None:
    def thrown(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        fuzz.campaign([fuzz.Target("witness", seen.append, [b"some valid input"])], 200, seed)
        return seen

    assert thrown(1) == thrown(1) != thrown(2)
