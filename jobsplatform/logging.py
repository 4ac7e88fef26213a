"""Structured logs: one event per line, with the ids of tenant, job, execution and request, and without secrets.

A traceback that repeats within REPEAT_SECONDS is written once.

`jobsplatform` may name its modules after the standard library's, because imports inside it are absolute.
"""

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, override

import structlog
from django.http import HttpRequest
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from jobsplatform.log_output import DroppingPipe, without_blocking

REDACTED = "[redacted]"

# Characters of one text in an event; the rest is cut off before the search for secrets.
MAX_TEXT_CHARACTERS = 2 * 1024
# Of a traceback: each line is cut like a text, and the middle of a long one is omitted.
MAX_TRACEBACK_CHARACTERS = 32 * 1024
CUT = "[cut]"

# Within this time, one traceback is written for an exception raised at one place and logged at one.
REPEAT_SECONDS = 30.0
# Ids of the context without which a line is about the process itself, so that a repeated line adds nothing.
_NAMED_BY = ("execution_id", "request_id")

# Keys whose values are never logged, at any depth of the event.
_SECRET_KEY = re.compile(
    r"passw(or)?d|secret|token|authorization|api_?key|cookie|credential|private_?key|(^|_)payload($|_)|dsn",
    re.IGNORECASE,
)
# Secrets inside free text: the password of a URL, and the header of our own API keys.
_SECRET_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?P<user>://[^\s:/@]*+):[^\s@/]++@"), rf"\g<user>:{REDACTED}@"),
    (re.compile(r"(?P<header>\b(?:Api-Key|Bearer|Basic)\s+)\S+", re.IGNORECASE), rf"\g<header>{REDACTED}"),
)


def _redact(value: Any) -> Any:
    """Return the value with every secret in it replaced, at any depth."""
    if isinstance(value, str):
        return _redact_text(value)
    if isinstance(value, HttpRequest):  # its text has the query, which may contain a signed link
        return _redact_text(f"{value.method} {value.path}")
    if isinstance(value, Mapping):
        return {key: REDACTED if _is_secret(str(key)) else _redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact(item) for item in value]
    return value


def _redact_text(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS:
        text = f"{_before_half_password(text[:MAX_TEXT_CHARACTERS])}{CUT}"
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _before_half_password(text: str) -> str:
    """Return a shortened text without its end if the end may be the beginning of a password in a URL."""
    before, sign, rest = text.rpartition("://")
    return f"{before}{sign}" if ":" in rest and not any(end in rest for end in "@/ \n") else text


def _redact_traceback(text: str) -> str:
    if len(text) > MAX_TRACEBACK_CHARACTERS:
        half = MAX_TRACEBACK_CHARACTERS // 2
        # Whole lines: the rest of a cut one may be half a secret that is no longer recognisable.
        head, tail = text[:half].rpartition("\n")[0] or text[:half], text[-half:].partition("\n")[2]
        text = f"{head}\n{CUT}\n{tail}"
    return "\n".join(_redact_text(line) for line in text.split("\n"))


def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key[:MAX_TEXT_CHARACTERS]) is not None


def redact_secrets(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace the secrets in a log event: values of keys such as `token`, and secrets inside texts.

    A structlog processor.
    """
    redacted: MutableMapping[str, Any] = {}
    for key, value in event.items():
        if key in {"_record", "exc_info"}:  # structlog's own, dropped or rendered later
            redacted[key] = value
        elif key in {"exception", "stack"} and isinstance(value, str):
            redacted[key] = _redact_traceback(value)
        else:
            redacted[key] = REDACTED if _is_secret(key) else _redact(value)
    return redacted


def add_context_ids(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Add the ids of tenant and trace to a log event; structlog's context has those of job, execution and request."""
    from scheduling.tracing import current_traceparent, trace_id_of
    from tenants.context import current_tenant_id

    tenant_id = current_tenant_id()
    if tenant_id is not None:
        event.setdefault("tenant_id", str(tenant_id))
    trace_id = trace_id_of(current_traceparent())
    if trace_id is not None:
        event.setdefault("trace_id", trace_id)
    return event


# What else is done with each event that is written, without its secrets.
receivers: list[Callable[[Mapping[str, Any]], None]] = []


def hand_on(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Give a log event to the receivers. A structlog processor."""
    for receive in receivers:
        receive(event)
    return event


def _shared_processors(render_exceptions: Processor) -> list[Processor]:
    """Return the processors for all log events, whether they come from structlog or the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        add_context_ids,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        render_exceptions,
        structlog.processors.UnicodeDecoder(),
        redact_secrets,
    ]


def build_formatter(log_format: str) -> logging.Formatter:
    """Return the log formatter for `console` (people) or `json` (machines), and configure structlog to use it."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # For machines an exception becomes fields: type, message and frames, never the values of variables.
    render_exceptions: Processor = (
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=30))
        if log_format == "json"
        else structlog.processors.format_exc_info
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    return structlog.stdlib.ProcessorFormatter(
        # `extra` of standard library callers; structlog's events carry their values themselves.
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            *_shared_processors(render_exceptions),
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            hand_on,
            renderer,
        ],
    )


class DroppingHandler(logging.StreamHandler[Any]):
    """Handler for standard error that omits repeated tracebacks, and logs how many lines were dropped."""

    def __init__(self) -> None:
        super().__init__(without_blocking(sys.stderr))
        self._repeats = Repeats()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        for each in self._repeats.fold(record):
            super().emit(each)
        if DroppingPipe.dropped and not self._is_stuck():
            dropped, DroppingPipe.dropped = DroppingPipe.dropped, 0
            super().emit(_event("log.lines_dropped", lines=dropped))
            if self._is_stuck():
                DroppingPipe.dropped += dropped

    def _is_stuck(self) -> bool:
        return bool(getattr(getattr(self.stream, "buffer", None), "is_stuck", False))


class Repeats:
    """Tracebacks that were written recently, and how many log records with the same traceback were omitted since."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[object, ...], tuple[float, logging.LogRecord, int]] = {}
        self._next_end = float("inf")

    def fold(self, record: logging.LogRecord) -> list[logging.LogRecord]:
        """Return the records to write now: summaries of omitted records whose time is over, and this record.

        A record whose traceback was written recently loses the traceback. It is omitted completely if it belongs to no
        execution and no request.
        """
        now = self._clock()
        ended = self._end_windows(now) if now >= self._next_end else []
        if not (record.exc_info and record.exc_info[1]):
            return [*ended, record]
        key = _place_of(record)
        if key not in self._windows:
            # Without the traceback, which would keep all that its frames hold alive.
            self._windows[key] = (now + REPEAT_SECONDS, _without_traceback(record), 0)
            self._next_end = min(self._next_end, now + REPEAT_SECONDS)
            return [*ended, record]
        if structlog.contextvars.get_contextvars().keys() & set(_NAMED_BY):
            return [*ended, _without_traceback(record)]
        until, first, count = self._windows[key]
        self._windows[key] = (until, first, count + 1)
        return ended

    def _end_windows(self, now: float) -> list[logging.LogRecord]:
        ended = [key for key, (until, _, _) in self._windows.items() if now >= until]
        lines = []
        for key in ended:
            _, short, count = self._windows.pop(key)
            if count:
                short.__dict__["repeated"] = count
                lines.append(short)
        self._next_end = min((until for until, _, _ in self._windows.values()), default=float("inf"))
        return lines


def _place_of(record: logging.LogRecord) -> tuple[object, ...]:
    """Return a key for where the exception was raised and where it was logged."""
    assert record.exc_info
    kind, _, frame = record.exc_info
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    raised_at = None if frame is None else (frame.tb_frame.f_code.co_filename, frame.tb_lineno)
    return record.name, record.pathname, record.lineno, kind, raised_at


def _without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    assert record.exc_info
    short = logging.makeLogRecord(record.__dict__)
    short.exc_info = short.exc_text = None
    short.__dict__["raised"] = "".join(traceback.format_exception_only(*record.exc_info[:2])).strip()
    return short


def _event(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
    record.__dict__.update(fields)
    return record
