"""The log on stderr, each line of it harmless."""

import logging

from pirate.cli.text import harmless

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class HarmlessFormatter(logging.Formatter):
    """Escapes what peers may have put into a message; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        lines = [f"pirate: {record.levelname.lower()}: {harmless(record.getMessage())}"]
        if record.exc_info:
            lines += map(harmless, self.formatException(record.exc_info).splitlines())
        return "\n".join(lines)


def log_to_stderr(verbose: int, *, quiet: bool) -> None:
    """Log warnings, or more if ``verbose``, or errors only if ``quiet``."""
    root = logging.getLogger("pirate")
    root.setLevel(logging.ERROR if quiet else _LEVELS[min(verbose, 2)])
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(HarmlessFormatter())
        root.addHandler(handler)
