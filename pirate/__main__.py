"""``python -m pirate`` and the command ``pirate``."""

import sys

from pirate.cli.main import run


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
