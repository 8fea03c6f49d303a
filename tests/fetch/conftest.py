import pytest

from pirate.fetch import get, rounds


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test not wait as long as a user may."""
    monkeypatch.setattr(rounds, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(rounds, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(rounds, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(get, "ASK_AGAIN_SECONDS", 0.02)
