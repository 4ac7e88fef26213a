"""Trace and logs follow a request through every process, and contain no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.collector import Collector, texts_of
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import fetch, wait_for
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.keys import issue_api_key

PAYLOAD_SECRET = "payload-value-without-log"
QUERY_SECRET = "query-value-without-log"


@pytest.fixture
def collector() -> Iterator[Collector]:
    opened = Collector()
    yield opened
    opened.close()


def test_trace_and_request_id_connect_request_with_statement(
    platform: Platform, acme: Tenant, collector: Collector, acceptance_broker_url: str
) -> None:
    for process in (platform.worker, platform.dispatcher):
        assert process is not None
        process.stop()
    platform.worker = platform.dispatcher = None
    token = issue_api_key(tenant=acme, name="tests").token
    address = f"127.0.0.1:{free_port()}"
    supervisor = platform.start(
        "run_platform",
        f"--bind={address}",
        "--slots=1",
        "--web-workers=1",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="200",
        OTEL_BLRP_SCHEDULE_DELAY="200",
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_METRIC_EXPORT_INTERVAL="1000",
        OTEL_LOGS_EXPORTER="otlp",
        LOG_FORMAT="json",
        LOG_LEVEL="DEBUG",
    )
    eventually(lambda: is_answering(address), within=START_SECONDS, what="the API answers")

    job = submit_by_http(address, token, {"kind": "sleep", "payload": {"seconds": 0.1}, "tags": [PAYLOAD_SECRET]})
    failing = submit_by_http(
        address, token, {"kind": "fail", "payload": {"how": "permanent", "message": PAYLOAD_SECRET}}
    )
    wait_for(job, "completed", within=START_SECONDS)
    wait_for(failing, "discarded")

    trace_id = str(fetch(job).traceparent).split("-")[1]
    executed = eventually(lambda: [s for s in collector.of_trace(trace_id) if s.name == "job.execute"])[0]
    names = eventually(
        lambda: (
            {s.name for s in collector.of_trace(trace_id)} >= {"job.submit", "job.execute"}
            and {s.name for s in collector.of_trace(trace_id)}
        )
    )
    assert any(name.startswith("POST") for name in names), names
    below = eventually(lambda: [s for s in collector.of_trace(trace_id) if s.parent_span_id == executed.span_id])
    assert below
    # The export of broker messages may precede that of database queries.
    eventually(
        lambda: any(
            word in s.name
            for s in collector.of_trace(trace_id)
            if s.parent_span_id == executed.span_id
            for word in ("UPDATE", "WITH", "SELECT")
        ),
        what="a statement of the execution is in its trace",
    )
    assert {a.key: a.value.string_value for a in executed.attributes}["job_id"] == str(job.pk)
    eventually(lambda: [s for s in collector.spans if trace_id in {link.trace_id.hex() for link in s.links}])
    failed_trace = str(fetch(failing).traceparent).split("-")[1]
    failed = eventually(lambda: [s for s in collector.of_trace(failed_trace) if s.name == "job.execute"])[0]
    assert failed.status.code == 2
    # Ticks and heartbeats begin no traces.
    assert not [s.name for s in collector.spans if not s.parent_span_id and s.kind == 3]

    # One process exports the counts of all, and those of jobs whose lines and buckets have the trace.
    eventually(lambda: linked_waits(collector, trace_id), what="a bucket of waits has the trace")
    # The first export may precede the end of the second job.
    eventually(
        lambda: any(
            sum(point.count for point in each.histogram.data_points) >= 2
            for each in collector.named("jobsplatform_job_wait_seconds").values()
        ),
        what="the waits of both jobs are exported together",
    )
    assert len(collector.named("jobsplatform_executions_ended_total")) == 1
    eventually(lambda: collector.named("jobsplatform_queue_waiting_jobs"), what="a dispatcher exports the gauges")
    exported = eventually(
        lambda: [
            texts_of(line.attributes)
            for line in list(collector.lines)
            if line.body.string_value == "execution.ended" and str(job.pk) in str(line)
        ]
    )
    assert exported[0]["tenant_id"] == str(acme.pk)

    lines = [json.loads(line) for line in supervisor.log.splitlines() if line.startswith("{")]
    asked = next(line for line in lines if line["event"] == "request.ended" and line["method"] == "POST")
    assert (asked["status"], asked["tenant_id"], asked["request_id"]) == (201, str(acme.pk), "trace-me")
    ended = next(line for line in lines if line["event"] == "execution.ended" and line["job_id"] == str(job.pk))
    assert {"tenant_id", "execution_id", "trace_id"} <= ended.keys()
    assert ended["trace_id"] == trace_id
    written = supervisor.log + "".join(map(str, [*collector.spans, *collector.lines, *collector.metrics.values()]))
    password = urlsplit(acceptance_broker_url).password
    for secret in (token, PAYLOAD_SECRET, QUERY_SECRET, password):
        assert secret is None or secret not in written
    supervisor.stop()


def linked_waits(collector: Collector, trace_id: str) -> list[Metric]:
    """Return the exports of waits with an exemplar of this trace."""
    return [
        metric
        for metric in collector.named("jobsplatform_job_wait_seconds").values()
        for point in metric.histogram.data_points
        if trace_id in {each.trace_id.hex() for each in point.exemplars}
    ]


def submit_by_http(address: str, token: str, body: dict[str, object]) -> Job:
    headers = {"Authorization": f"Api-Key {token}", "X-Request-ID": "trace-me", "Cookie": f"sessionid={QUERY_SECRET}"}
    answer = httpx.post(f"http://{address}/api/v1/jobs/", json=body, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    with all_tenants():
        return Job.objects.get(pk=answer.json()["id"])
