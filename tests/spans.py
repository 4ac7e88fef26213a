"""Spans exported from the test's own process, which runs web and worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobsplatform import telemetry
from scheduling import tracing
from tenants.database.prepared import watch_statements


class Spans:
    """All spans that have ended since tracing began."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def texts(self) -> list[str]:
        """Return each span as exported: name, attributes, events, status, resource."""
        tracing.flush()
        return [span.to_json() for span in self.exporter.get_finished_spans()]


@contextmanager
def exported_spans() -> Iterator[Spans]:
    """Trace like a process with an endpoint, and keep the exported spans."""
    spans = Spans()
    instrumentors = (telemetry.DjangoInstrumentor, telemetry.PsycopgInstrumentor, telemetry.RedisInstrumentor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telemetry, "OTLPSpanExporter", lambda: spans.exporter)
        # A batch processor starts a thread in each process forked from here on, which then can enter no user namespace.
        patch.setattr(telemetry, "BatchSpanProcessor", SimpleSpanProcessor)
        connections.close_all()  # a connection is traced from its start
        telemetry.start_telemetry()
        try:
            yield spans
        finally:
            for instrumentor in instrumentors:
                instrumentor().uninstrument()
            watch_statements(None)
            tracing.install(None)
            connections.close_all()
