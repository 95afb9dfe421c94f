"""How processes log: as text (a laptop), or as JSON lines (`LAKEGATE_LOG=json`: containers), from `LAKEGATE_LOG_LEVEL` on (usual: INFO).

Called once at the door of each process of ours: keeper, workers, and whatever loads the definitions (code server, a run's own process).
"""

import logging
import sys
import threading
import warnings
from collections.abc import Mapping
from types import TracebackType

from pipelines.errors import ConfigurationError
from pipelines.telemetry.logs import JsonFormatter, account_numbers

__all__ = ["configure_logging", "wants_json"]

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_CHATTY = (
    "botocore",
    "boto3",
    "urllib3",
    "kombu",
    "amqp",
    "pyiceberg",
    "matplotlib",
    "alembic",
    "celery.app.trace",
    "celery.worker.strategy",
)
"""What these say below WARNING is theirs: headers, retries, every message of a queue."""


def wants_json(environment: Mapping[str, str]) -> bool:
    """Whether `LAKEGATE_LOG` asks for JSON lines. Raises ConfigurationError for what is neither `json` nor `text`."""
    said = environment.get("LAKEGATE_LOG") or "text"
    if said not in ("json", "text"):
        raise ConfigurationError(f"LAKEGATE_LOG is {said!r}: it must be json or text")
    return said == "json"


def configure_logging(
    environment: Mapping[str, str], text_format: str | None = None, *, has_dagster: bool = True
) -> None:
    """Log as the environment says, to standard error. Where it asks for text, only with a `text_format`: else all stays as it is.

    `has_dagster`: this process may execute runs and ticks of Dagster, whose logs are to come as JSON too.
    Raises ConfigurationError for a setting that is none. Repeatable.
    """
    level = (environment.get("LAKEGATE_LOG_LEVEL") or "INFO").upper()
    if level not in _LEVELS:
        raise ConfigurationError(f"LAKEGATE_LOG_LEVEL is {level!r}: it must be one of {', '.join(_LEVELS)}")
    if not wants_json(environment):
        if text_format is not None:
            logging.basicConfig(level=level, format=text_format)
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(account_numbers(environment)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("dagster", "celery"):
        # Their handlers write text; what they log comes to the root's all the same.
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)
    # One that Dagster or a user of this process set before would print several lines.
    warnings.showwarning = _show_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    if has_dagster:
        _log_dagster_as_json(handler)


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    logging.getLogger("py.warnings").warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, stack: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    uncaught = (kind, error or kind(), stack)
    logging.getLogger("lakegate").critical("nobody caught %s", kind.__name__, exc_info=uncaught)


def _log_dagster_as_json(handler: logging.Handler) -> None:
    """Have `context.log` of runs and of ticks come as JSON lines, too.

    Dagster gives a tick, and a run whose configuration names no logger, a coloured console, and has no public setting for another:
    handlers in dagster.yaml come on top of it, loggers of definitions count only for runs whose configuration names them, and a run
    that a person starts has none. So what makes that console is replaced, here and nowhere else; `tests/telemetry/test_logs.py` and the canary test say when
    that ends.
    """
    from dagster import _loggers
    from dagster._core.definitions import instigation_logger

    def json_console(name: str, level: str | int) -> logging.Logger:
        logger = logging.Logger(name, level)
        logger.addHandler(handler)
        return logger

    _loggers.create_console_logger = json_console
    instigation_logger.create_console_logger = json_console
