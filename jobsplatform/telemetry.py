"""OpenTelemetry: traces, and the start of metrics and logs. Imported only if OTEL_EXPORTER_OTLP_ENDPOINT is set.

OpenTelemetry's own variables configure everything else: service name, sampler, headers, batch sizes.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from scheduling import tracing
from tenants.database.prepared import watch_statements

# Probes and scrapes are too frequent to trace.
UNTRACED_PATHS = "health/live,health/ready,metrics"
FLUSH_MS = 5_000
_propagator = TraceContextTextMapPropagator()


def start_telemetry() -> None:
    """Start in this process what OpenTelemetry's variables choose: traces unless switched off, metrics and logs."""
    if os.environ.get("OTEL_TRACES_EXPORTER") != "none":
        start_tracing()
    if os.environ.get("OTEL_METRICS_EXPORTER") == "otlp":
        from jobsplatform.telemetry_metrics import start_metrics

        start_metrics(resource_of_process())
    if os.environ.get("OTEL_LOGS_EXPORTER") == "otlp":
        from jobsplatform.telemetry_logs import start_logs

        start_logs(resource_of_process())


def resource_of_process() -> Resource:
    """Return the description of this service that all signals carry."""
    return Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "jobsplatform"})


def start_tracing() -> None:
    """Start tracing in this process: requests, jobs, and their calls of database and broker."""
    provider = TracerProvider(resource=resource_of_process())
    provider.sampler = WithinTraces(provider.sampler)
    provider.add_span_processor(ExportPerProcess())
    DjangoInstrumentor().instrument(tracer_provider=provider, excluded_urls=UNTRACED_PATHS)
    PsycopgInstrumentor().instrument(tracer_provider=provider)
    RedisInstrumentor().instrument(tracer_provider=provider)
    watch_statements(StatementTracer(provider).span)
    tracing.install(OpenTelemetryTracer(provider))


class WithinTraces(Sampler):
    """Sampler of the environment, except that a database or broker call outside of a trace is never sampled.

    Otherwise ticks and heartbeats would start very many traces.
    """

    def __init__(self, chosen: Sampler) -> None:
        self._chosen = chosen

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: object = None,
        links: Sequence[Link] | None = None,
        trace_state: object = None,
    ) -> SamplingResult:
        """Drop a client call outside of any trace; let the environment's sampler decide about all other spans."""
        if kind is SpanKind.CLIENT and not trace.get_current_span(parent_context).get_span_context().is_valid:
            return SamplingResult(Decision.DROP)
        return self._chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)  # type: ignore[arg-type]

    def get_description(self) -> str:
        return f"WithinTraces({self._chosen.get_description()})"


class ExportPerProcess(SpanProcessor):
    """Span processor that has a batch, a thread and a connection for each process, because none survives a fork."""

    def __init__(self) -> None:
        self._pid = 0
        self._batch: BatchSpanProcessor | None = None

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        self._own().on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self._own().on_end(span)

    def shutdown(self) -> None:
        if self._batch is not None and self._pid == os.getpid():
            self._batch.shutdown()  # type: ignore[no-untyped-call] # the SDK leaves it untyped

    def force_flush(self, timeout_millis: int = FLUSH_MS) -> bool:
        return self._own().force_flush(timeout_millis)

    def _own(self) -> BatchSpanProcessor:
        if self._batch is None or self._pid != os.getpid():
            self._batch, self._pid = BatchSpanProcessor(OTLPSpanExporter()), os.getpid()
        return self._batch


class OpenTelemetryTracer:
    """Implementation of the tracer interface of :mod:`scheduling.tracing` with OpenTelemetry."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("jobsplatform")

    def current_traceparent(self) -> str | None:
        """Return the current trace context in W3C format, or None outside of a trace."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get("traceparent")

    @contextmanager
    def span(
        self, name: str, *, parent: str | None, links: Sequence[str], is_call: bool, attributes: Mapping[str, str | int]
    ) -> Iterator[tracing.Span]:
        """Open a span around the block.

        Of an error only the type is recorded: its message may contain a tenant's data.
        """
        with self._tracer.start_as_current_span(
            name,
            context=None if parent is None else context_of(parent),
            kind=SpanKind.CLIENT if is_call else SpanKind.INTERNAL,
            attributes=dict(attributes),
            links=[Link(trace.get_current_span(context_of(link)).get_span_context()) for link in links],
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            opened = _OpenSpan(span)
            try:
                yield opened
            except BaseException as error:
                opened.fail(type(error).__name__)
                raise

    def flush(self) -> None:
        """Send the collected spans; call it before the process ends."""
        self._provider.force_flush(FLUSH_MS)


class StatementTracer:
    """Source of spans for prepared statements, which the instrumentation of the driver does not see."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("jobsplatform")

    def span(self, statement: str) -> AbstractContextManager[trace.Span]:
        """Return a span for a statement, named after its first word; the recorded text contains no values."""
        text = statement.strip()
        return self._tracer.start_as_current_span(
            text.partition(" ")[0].strip() or "statement",
            kind=SpanKind.CLIENT,
            attributes={"db.system": "postgresql", "db.statement": text},
            record_exception=False,
        )


class _OpenSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def fail(self, error: str) -> None:
        """Mark the span as failed."""
        self._span.set_status(Status(StatusCode.ERROR, error))


def context_of(traceparent: str) -> Context:
    """Return the context of a W3C trace context."""
    return _propagator.extract({"traceparent": traceparent}, context=Context())
