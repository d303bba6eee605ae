"""Structured logs: one line an event on stderr, for people or for machines."""

import logging
import sys

import structlog


def configure(level: str, *, json: bool) -> None:
    """Sends our logs and those of every library to stderr, in one form.

    Args:
        level: "debug" (a line for each call), "info", "warning" or "error".
        json: One JSON object a line; else text for people.

    Raises:
        ValueError: No such level.
    """
    known = logging.getLevelNamesMapping()
    if level.upper() not in known:
        raise ValueError(f"unknown log level {level!r}")
    number = known[level.upper()]
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    render: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        # The default traceback shows local variables, and with them callers' data.
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*common, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    of_libraries = logging.StreamHandler(sys.stderr)
    of_libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    # Libraries say at debug and info what only their authors read.
    logging.basicConfig(handlers=[of_libraries], level=max(number, logging.WARNING), force=True)
