"""Tracing is off without an endpoint, and otherwise delegates to the installed tracer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
from django.conf import settings

from scheduling import tracing

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


# The Redis client loads OpenTelemetry's API wherever it is installed; it exports nothing.
EXPORTING = ("jobsplatform.telemetry", "opentelemetry.instrumentation", "opentelemetry.exporter")


@pytest.mark.process
def test_exporter_and_instrumentation_are_not_loaded_without_endpoint() -> None:
    script = f"import django, sys; django.setup(); print([m for m in sys.modules if m.startswith({EXPORTING})])"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=settings.BASE_DIR,
        env=environment | {"DJANGO_SETTINGS_MODULE": "jobsplatform.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_span_without_tracer_has_no_trace_context() -> None:
    with tracing.span("job.submit", jobs=1) as span:
        span.fail("ValueError")
    assert tracing.current_traceparent() is None


def test_tracer_gets_parent_links_and_attributes() -> None:
    seen: list[tuple[object, ...]] = []

    class Recorder:
        def current_traceparent(self) -> str | None:
            return TRACEPARENT

        @contextmanager
        def span(
            self,
            name: str,
            *,
            parent: str | None,
            links: Sequence[str],
            is_call: bool,
            attributes: Mapping[str, str | int],
        ) -> Iterator[tracing.Span]:
            seen.append((name, parent, list(links), is_call, dict(attributes)))
            yield tracing._NoSpan()

        def flush(self) -> None: ...

    tracing.install(Recorder())
    try:
        with tracing.span("job.dispatch", parent=None, links=[TRACEPARENT], jobs=2):
            assert tracing.current_traceparent() == TRACEPARENT
        with tracing.call("ratelimit.take", wanted=1):
            pass
    finally:
        tracing.install(None)
    assert tracing.current_traceparent() is None
    assert seen == [
        ("job.dispatch", None, [TRACEPARENT], False, {"jobs": 2}),
        ("ratelimit.take", None, [], True, {"wanted": 1}),
    ]


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [(TRACEPARENT, "0af7651916cd43dd8448eb211c80319c"), (None, None), ("", None), ("nonsense", None)],
)
def test_trace_id_is_read_from_a_trace_context(traceparent: str | None, trace_id: str | None) -> None:
    assert tracing.trace_id_of(traceparent) == trace_id


@pytest.mark.parametrize(
    ("traceparent", "is_sampled"),
    [(TRACEPARENT, True), (f"{TRACEPARENT[:-1]}3", True), (f"{TRACEPARENT[:-1]}0", False), (None, False), ("", False)],
)
def test_sampled_flag_is_read_from_a_trace_context(traceparent: str | None, is_sampled: bool) -> None:
    assert tracing.is_sampled(traceparent) is is_sampled
