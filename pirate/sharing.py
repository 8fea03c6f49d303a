"""Which folders are shared, and by which rules, as the settings say."""

import glob
import os

from pirate.config import Settings
from pirate.disk.tree import Shares
from pirate.errors import UsageError
from pirate.policy.rules import Rules


def folders(settings: Settings) -> tuple[str, ...]:
    """The folders that the user named, else the one that we are in."""
    return settings.folders or (os.getcwd(),)  # noqa: PTH109


def shares(settings: Settings, folders: tuple[str, ...]) -> Shares:
    """What of these folders is shared: never what pirate itself keeps there.

    UsageError if one of them is none.
    """
    for folder in folders:
        if not os.path.isdir(folder):  # noqa: PTH112
            raise UsageError(f"{folder!r} is not a folder")
    own = [_own_files(settings.state, folder) for folder in folders if settings.state]
    exclude = (*settings.exclude, *filter(None, own))
    return Shares(folders, Rules(settings.include, exclude, hidden=settings.hidden))


def _own_files(state: str, folder: str) -> str:
    """A pattern for the state folder below a shared one; empty if it is elsewhere."""
    below = os.path.relpath(os.path.realpath(state), os.path.realpath(folder))
    outside = below == os.curdir or below.split("/")[0] == os.pardir
    return "" if outside else "/" + glob.escape(below) + "/"
