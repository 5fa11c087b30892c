"""Formats structured logs: a constant message with facts as keys, as JSON for machines or text for people."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(style: Literal["json", "text"], level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Installs one handler on the root logger; the composition root calls it once."""
    _leave_out_what_no_format_shows()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Json() if style == "json" else Text())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _leave_out_what_no_format_shows() -> None:
    """The caller's line, thread and process cost more than a line of JSON (Python's logging HOWTO, "Optimization")."""
    setattr(logging, "_srcfile", None)  # noqa: B010 - private, and the documented switch
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class Json(logging.Formatter):
    """Formats a record as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname.lower(), "message": record.getMessage()}
        line |= {"logger": record.name, **facts(record)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class Text(logging.Formatter):
    """Formats a record as `time LEVEL message key=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        keys = " ".join(f"{name}={_shown(value)}" for name, value in facts(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}{'  ' + keys if keys else ''}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """Returns what was passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else text
