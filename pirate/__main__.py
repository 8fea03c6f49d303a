"""``python -m pirate`` and the command ``pirate``."""

import sys

from pirate import __version__


def main() -> None:
    """Run the command line of this process and exit with its code."""
    if sys.argv[1:] == ["--version"]:  # asked by every script: 10 ms instead of 50
        print(f"pirate {__version__}")  # noqa: T201 - it is the result
        return
    import signal  # noqa: PLC0415

    # Until the command line handles it: Ctrl-C while modules load ends us without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pirate.cli.main import run  # noqa: PLC0415

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
