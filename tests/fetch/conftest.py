import pytest

from pirate.fetch import download, get


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test not wait as long as a user may."""
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(download, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(get, "ASK_AGAIN_SECONDS", 0.02)
