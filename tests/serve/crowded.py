"""A node of its own process with few descriptors, for tests that crowd it.

Prints the port it listens on, then answers every line on stdin with its resident bytes,
threads and descriptors.
"""

import os
import resource
import sys
import threading
from pathlib import Path

from pirate.config import load
from pirate.node import Node
from pirate.scope import Scope

PAGE = resource.getpagesize()


def main() -> None:
    folder, descriptors = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    node = Node(
        load({"listen": "127.0.0.1:0", "drain": "1s", "discovery": "static"}, {}, os.devnull),
        (folder,),
    )
    with Scope() as scope:
        node.start(scope)
        assert node.wait_until_ready(scope.stop)
        sys.stdout.write(f"{node.listen.port}\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE
            open_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
            sys.stdout.write(f"{resident} {threading.active_count()} {open_files}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
