"""Logs of a serving hub: one JSON object a line on stderr for machines, short coloured lines on a terminal.

What libraries log goes the same way, but only the fixed text of a message: its arguments, and the text of an
exception, may hold what somebody sent.
"""

import logging
import sys

import structlog

from hub.web.answer import whereabouts


def configure(level: str) -> None:
    """Set structlog up for this process. `level` is debug, info, warning or error."""
    readable = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    least = max(logging.INFO, logging.getLevelNamesMapping()[level.upper()])  # libraries' debug output is too free
    logging.basicConfig(handlers=[Libraries()], level=least, force=True)


class Libraries(logging.Handler):
    """Passes what libraries log on to our own log: logger, level, the first line of the unfilled text, where."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        fault = record.exc_info[1] if record.exc_info else None
        where = {"where": whereabouts(fault)} if fault is not None else {}
        text = str(record.msg).partition("\n")[0][:200]
        structlog.get_logger().log(max(record.levelno, logging.DEBUG), text, logger=record.name, **where)
