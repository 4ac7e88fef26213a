"""Log lines by OTLP: those of the platform as they are logged, and those of jobs once they are stored.

The only module that imports OpenTelemetry's packages of logs, whose names begin with an underscore until they are
declared stable (decision 0062).
"""

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, override

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from jobsplatform.logging import build_formatter
from jobsplatform.telemetry import FLUSH_MS, context_of
from scheduling import signals
from scheduling.execution.logs.job_log import TAKEN
from scheduling.execution.logs.service import LogLine

# The exporter's own lines, each of which would cause another one.
_OWN_LOGGERS = ("opentelemetry", "urllib3")
_SCOPE = InstrumentationScope("jobsplatform")


def start_logs(resource: Resource) -> None:
    """Export the platform's log lines and those of jobs from this process and those forked from it."""
    handler = OtlpHandler(resource)
    logging.getLogger().addHandler(handler)
    signals.job_lines_written.connect(handler.export_lines, dispatch_uid="jobsplatform.telemetry_logs")


class OtlpHandler(logging.Handler):
    """Handler that sends log lines in batches, redacted as those that are written, with their trace."""

    def __init__(self, resource: Resource) -> None:
        super().__init__()
        self._resource = resource
        self._pid = 0
        self._batch: BatchLogRecordProcessor | None = None
        self.setFormatter(build_formatter("json"))

    @override
    def emit(self, record: logging.LogRecord) -> None:
        # What a job logs is exported as its line, or not at all.
        if record.name.partition(".")[0] in _OWN_LOGGERS or hasattr(record, TAKEN):
            return
        try:
            event = json.loads(self.format(record))
            self._send(record.created, record.levelno, event.pop("event", ""), event)
        except Exception:  # noqa: BLE001 - as in every handler of the standard library
            self.handleError(record)

    def export_lines(self, sender: object, *, lines: Sequence[LogLine], facts: Mapping[str, Any], **_: Any) -> None:
        """Send lines of one job."""
        context = context_of(facts["traceparent"]) if facts.get("traceparent") else None
        about = {name: str(value) for name, value in facts.items() if value is not None} | {"logger": "job"}
        for line in lines:
            self._send(line.at.timestamp(), line.level, line.message, about | {"fields": line.fields}, context)

    @override
    def flush(self) -> None:
        if self._batch is not None and self._pid == os.getpid():
            self._batch.force_flush(FLUSH_MS)

    def _send(self, at: float, level: int, body: str, about: Mapping[str, Any], context: Context | None = None) -> None:
        # OpenTelemetry has four numbers for each level of Python.
        severity = SeverityNumber(min(level // 10 * 4 + 1, SeverityNumber.FATAL.value))
        record = LogRecord(
            timestamp=int(at * 1e9),
            observed_timestamp=time.time_ns(),
            context=context,
            severity_number=severity,
            severity_text=severity.name,
            body=body,
            attributes=about,
        )
        if self._batch is None or self._pid != os.getpid():
            # Its thread and its connection survive no fork.
            self._batch, self._pid = BatchLogRecordProcessor(OTLPLogExporter()), os.getpid()
        self._batch.on_emit(ReadWriteLogRecord(record, resource=self._resource, instrumentation_scope=_SCOPE))
