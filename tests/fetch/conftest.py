import pytest

from pirate.fetch import get, rounds
from pirate.policy import plan


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test not wait as long as a user may."""
    monkeypatch.setattr(rounds, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(rounds, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(rounds, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(get, "ASK_AGAIN_SECONDS", 0.02)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take nothing for late that only a busy machine holds up, and fetch it once more."""
    monkeypatch.setattr(plan, "LEAST_PATIENCE", 1.0)
