"""Metrics, log lines and spans reach a collector over HTTP, without secrets and without the lines of sealed jobs."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from importlib.metadata import version
from uuid import uuid4

import pytest
import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.resources import Resource

from jobsplatform.settings.env import BASE_DIR
from jobsplatform.telemetry_logs import OtlpHandler
from jobsplatform.telemetry_metrics import PLATFORM_INSTANCE, MetricsExport
from scheduling import signals, tracing
from scheduling.dispatch.broker import wake_dispatcher
from scheduling.execution.logs.job_log import TAKEN, JobLogWriter
from scheduling.execution.start import StartedTurn
from scheduling.fairness.gcra import Rate
from scheduling.limits.rate_buckets import Bucket, take_whole
from tenants.encryption.data_keys import forget_keys
from tenants.models import Tenant
from tests.acceptance.collector import Collector, texts_of
from tests.acceptance.processes import eventually
from tests.integration.jobsplatform.test_metrics import DOCUMENTED
from tests.integration.scheduling.job_helpers import submit
from tests.platform_settings import ChangePlatformSettings
from tests.spans import exported_spans

pytestmark = pytest.mark.django_db(transaction=True)

# decision 0062: a new release may rename what `jobsplatform.telemetry_logs` imports.
CHECKED_RELEASE = "1.45.1"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    opened = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", opened.url)
    yield opened
    opened.close()


@pytest.fixture
def handler(collector: Collector) -> Iterator[OtlpHandler]:
    """Export log lines as a process with OTEL_LOGS_EXPORTER=otlp does."""
    exporting = OtlpHandler(Resource({}))
    root = logging.getLogger()
    root.addHandler(exporting)
    signals.job_lines_written.connect(exporting.export_lines)
    yield exporting
    signals.job_lines_written.disconnect(exporting.export_lines)
    root.removeHandler(exporting)
    exporting.close()


@pytest.fixture
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    """Encrypt tenants' values."""
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[base64.b64encode(b"a" * 32).decode()])
    yield
    forget_keys()


@pytest.fixture
def log(acme: Tenant) -> Callable[..., None]:
    """Return a function that writes a line of a job as a worker does."""
    (job,) = submit(acme)

    def write(message: str, level: str = "info", **fields: object) -> None:
        writer = JobLogWriter(
            tenant_id=job.tenant_id,
            job_id=job.pk,
            execution_id=uuid4(),
            attempt=1,
            facts={"kind": "noop", "queue": "tasks", "traceparent": TRACE},
        )
        writer.add(message, level, fields)
        writer.end()

    return write


def test_collector_gets_the_documented_metrics(collector: Collector) -> None:
    route = {"kind": "noop", "queue": f"queue-{uuid4()}", "tier": "team"}
    begun = StartedTurn(uuid4(), uuid4(), uuid4(), **route, pickup_seconds=0.1, wait_seconds=0.2, traceparent=TRACE)
    signals.executions_started.send(None, executions=[begun])
    export = MetricsExport(OTLPMetricExporter(), Resource({}))
    export.export()
    assert collector.named("jobsplatform_database_up") == {}
    export.note_duty(None)
    export.export()

    documented = {name for name, _, _ in DOCUMENTED.findall((BASE_DIR / "docs/reference/metrics.md").read_text())}
    names = {name for _, name in collector.metrics}
    assert names <= documented
    assert {"jobsplatform_executions_started_total", "jobsplatform_job_wait_seconds"} <= names
    assert collector.named("jobsplatform_database_up").keys() == {PLATFORM_INSTANCE}
    (waits,) = collector.named("jobsplatform_job_wait_seconds").values()
    (point,) = [each for each in waits.histogram.data_points if texts_of(each.attributes)["queue"] == route["queue"]]
    assert (point.count, sum(point.bucket_counts), len(point.bucket_counts)) == (1, 1, len(point.explicit_bounds) + 1)
    (linked,) = point.exemplars
    assert (linked.trace_id.hex(), linked.as_double) == (TRACE_ID, 0.2)


def test_platform_lines_are_exported_with_ids_and_without_secrets(collector: Collector, handler: OtlpHandler) -> None:
    with structlog.contextvars.bound_contextvars(job_id="j-1"):
        logging.getLogger("somewhere").warning("Began %s", "work", extra={"token": "s3cret", "sizes": [1, 2]})
    logging.getLogger("opentelemetry.somewhere").warning("an own line")
    logging.getLogger("somewhere").warning("a job's line", extra={TAKEN: True})
    handler.flush()
    (line,) = collector.lines
    attributes = texts_of(line.attributes)
    assert (line.body.string_value, line.severity_text, attributes["job_id"]) == ("Began work", "WARN", "j-1")
    assert (attributes["logger"], attributes["token"]) == ("somewhere", "[redacted]")
    (sizes,) = [each.value.array_value.values for each in line.attributes if each.key == "sizes"]
    assert [size.int_value for size in sizes] == [1, 2]
    assert "s3cret" not in str(line)


def test_line_of_a_job_is_exported_once_it_is_stored(
    collector: Collector, handler: OtlpHandler, log: Callable[..., None], acme: Tenant
) -> None:
    log("page read", "error", page=3)
    log("below the tenant's level", "debug")
    handler.flush()
    (line,) = [each for each in collector.lines if texts_of(each.attributes).get("logger") == "job"]
    attributes = texts_of(line.attributes)
    assert (line.body.string_value, line.severity_text, line.trace_id.hex()) == ("page read", "ERROR", TRACE_ID)
    assert (attributes["tenant_id"], attributes["kind"]) == (str(acme.pk), "noop")
    assert json.loads(attributes["fields"]) == {"page": 3}


def test_no_line_of_a_job_is_exported_where_values_are_sealed(
    sealing: None, collector: Collector, handler: OtlpHandler, log: Callable[..., None]
) -> None:
    log("a value of the tenant")
    logging.getLogger("somewhere").warning("of the platform")
    handler.flush()
    assert [line.body.string_value for line in collector.lines] == ["of the platform"]


def test_packages_of_logs_are_those_that_were_checked() -> None:
    """A new release needs a look at the module that imports packages with an underscore, and this number."""
    assert version("opentelemetry-sdk") == version("opentelemetry-exporter-otlp-proto-http") == CHECKED_RELEASE


def test_tokens_and_wakes_are_spans_of_a_trace_and_begin_none() -> None:
    with exported_spans() as spans:
        ask_servers()
        assert [text for text in spans.texts() if '"ratelimit.take"' in text or '"dispatcher.wake"' in text] == []
        with tracing.span("job.submit"):
            ask_servers()
        names = eventually(lambda: [span.name for span in spans.exporter.get_finished_spans()])
    assert names.count("ratelimit.take") == names.count("dispatcher.wake") == 1


def ask_servers() -> None:
    take_whole([Bucket(f"test:{uuid4()}", Rate(interval_us=1_000_000, burst=10))], 1)
    wake_dispatcher({"tasks"})
