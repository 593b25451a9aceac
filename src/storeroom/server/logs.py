"""One line per event: JSON where a machine reads it, plain text in a terminal. Never a local variable, never a body."""

import logging
import sys
from typing import Any, Final, TextIO

import msgspec
import structlog

QUIET: Final = ("httpx", "httpcore", "asyncpg")  # they would say each request again
FIRST: Final = ("timestamp", "level", "event")  # of a line, so that a person finds them
_stdlib: Final = logging.getLogger()


def configure_logs(stream: TextIO | None = None, *, json: bool | None = None) -> None:
    """Send all logs of this process to `stream` (standard error); JSON unless that is a terminal."""
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # The standard formatter prints a traceback without the frames' variables, where passwords would stand.
    rendering: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=stream is None,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    _stdlib.handlers[:] = [handler]
    _stdlib.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("_granian").setLevel(logging.ERROR)  # it warns of its embedded mode at each start


def _dumps(event: Any, **_: Any) -> str:
    first = {name: event.pop(name) for name in FIRST if name in event}
    return msgspec.json.encode({**first, **event}, enc_hook=repr).decode()
