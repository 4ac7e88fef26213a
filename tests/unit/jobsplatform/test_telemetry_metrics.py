"""Conversion of Prometheus's metrics to those of OpenTelemetry, and their exemplars."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    Sum,
)
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Gauge as PrometheusGauge
from prometheus_client import Histogram as PrometheusHistogram

from jobsplatform.telemetry_metrics import PLATFORM_INSTANCE, MetricsExport, convert
from scheduling.observability import exemplars
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SETTINGS = "jobsplatform.settings.test"
UNSAMPLED = TRACE[:-1] + "0"


@pytest.fixture(autouse=True)
def forget_exemplars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Share a folder with no other process."""
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv(MULTIPROCESS_VARIABLE, str(tmp_path / "shared"))


class Exported(MetricExporter):
    """Exporter that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: object) -> MetricExportResult:
        self.received.append(metrics_data)
        return MetricExportResult.SUCCESS

    def instances(self) -> list[object]:
        return [data.resource_metrics[0].resource.attributes[SERVICE_INSTANCE_ID] for data in self.received]

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: object) -> None:
        """Do nothing."""


def test_families_keep_name_labels_and_values() -> None:
    registry = CollectorRegistry()
    PrometheusCounter("jobsplatform_jobs", "Jobs.", ["kind"], registry=registry).labels("noop").inc(3)
    PrometheusGauge("jobsplatform_slots", "Slots.", registry=registry).set(2)
    PrometheusGauge("python_info", "Not ours.", registry=registry).set(1)
    counter, gauge = convert(registry.collect(), started=5)
    assert (counter.name, counter.description) == ("jobsplatform_jobs_total", "Jobs.")
    assert isinstance(counter.data, Sum)
    assert counter.data.is_monotonic
    (point,) = counter.data.data_points
    assert (point.value, point.attributes, point.start_time_unix_nano) == (3.0, {"kind": "noop"}, 5)
    assert gauge.name == "jobsplatform_slots"
    assert isinstance(gauge.data, Gauge)
    assert [each.value for each in gauge.data.data_points] == [2.0]


def test_buckets_count_only_their_own_values() -> None:
    registry = CollectorRegistry()
    waits = PrometheusHistogram("jobsplatform_waits", "Waits.", ["queue"], buckets=(1, 5, 10), registry=registry)
    for queue, seconds in (("a", 0.5), ("a", 1.0), ("a", 7.0), ("a", 99.0), ("b", 2.0)):
        waits.labels(queue).observe(seconds)
    (metric,) = convert(registry.collect(), started=5)
    assert isinstance(metric.data, Histogram)
    first, second = metric.data.data_points
    assert (first.attributes, first.explicit_bounds, first.bucket_counts) == ({"queue": "a"}, [1, 5, 10], [2, 0, 1, 1])
    assert (first.count, first.sum, second.bucket_counts) == (4, 107.5, [0, 1, 0, 0])


def test_exemplar_of_a_bucket_is_the_last_recorded_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MULTIPROCESS_VARIABLE)
    queue = f"queue-{uuid4()}"
    old = TRACE.replace("b7ad", "aaaa")
    for seconds, traceparent in ((0.2, old), (0.21, TRACE), (40.0, TRACE), (0.22, UNSAMPLED), (0.23, None)):
        execution_id = uuid4()
        exemplars.note_begun(execution_id, traceparent)
        exemplars.note_wait(queue, "team", seconds, execution_id)
    links = [link for link in exemplars.read()[exemplars.WAIT] if link.labels["queue"] == queue]
    assert [(link.seconds, link.traceparent) for link in links] == [(0.21, TRACE), (40.0, TRACE)]

    registry = CollectorRegistry()
    histogram = PrometheusHistogram(exemplars.WAIT, "Waits.", ["queue", "tier"], buckets=(1, 5), registry=registry)
    histogram.labels(queue, "team").observe(0.21)
    (metric,) = convert(registry.collect(), links={exemplars.WAIT: links})
    (point,) = metric.data.data_points
    assert [(each.value, each.trace_id, each.span_id) for each in point.exemplars] == [
        (0.21, 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331),
        (40.0, 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331),
    ]


def test_run_time_has_the_trace_of_the_start() -> None:
    queue, known, unknown = f"queue-{uuid4()}", uuid4(), uuid4()
    exemplars.note_begun(known, TRACE)
    exemplars.note_begun(unknown, UNSAMPLED)
    for execution_id in (known, unknown, known):
        exemplars.note_run(queue, "team", 3.0, execution_id)
    assert [link.seconds for link in _written(queue)] == [3.0]


@pytest.mark.process
def test_processes_of_a_folder_share_exemplars(tmp_path: Path) -> None:
    script = (
        "import django; django.setup(); from scheduling.observability import exemplars; "
        f"exemplars.note_begun(1, {TRACE!r}); exemplars.note_wait('shared-queue', 'team', 0.3, 1)"
    )
    environment = os.environ | {MULTIPROCESS_VARIABLE: str(tmp_path / "shared"), "DJANGO_SETTINGS_MODULE": SETTINGS}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert [link.seconds for link in exemplars.read()[exemplars.WAIT] if link.labels["queue"] == "shared-queue"] == [
        0.3
    ]


def test_file_of_a_process_that_ended_long_ago_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "exemplars_1.json"
    path.write_text("[]")
    old = time.time() - 2 * exemplars.KEPT_SECONDS
    os.utime(path, (old, old))
    exemplars.read()
    assert not path.exists()


def _written(queue: str) -> list[exemplars.Link]:
    # The process may have written its file moments ago: read its memory.
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(MULTIPROCESS_VARIABLE)
        return [link for link in exemplars.read()[exemplars.RUN] if link.labels["queue"] == queue]


def test_one_process_exports_a_folder_and_the_next_continues_its_source(tmp_path: Path) -> None:
    lock = tmp_path / "shared" / "otlp_source"
    holder = "import fcntl, sys; f = open(sys.argv[1], 'a+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    exporter = Exported()
    export = MetricsExport(exporter, Resource({}))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", holder, lock], **pipes) as other:  # type: ignore[call-overload]
        other.stdout.readline()
        export.export()
        assert exporter.received == []
        other.communicate(b"\n")
    export.export()
    MetricsExport(exporter, Resource({})).export()
    (first, second) = exporter.instances()
    assert first == second == lock.read_text().split()[0]


def test_process_without_a_folder_is_a_source_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MULTIPROCESS_VARIABLE)
    exporter = Exported()
    for _ in range(2):
        MetricsExport(exporter, Resource({})).export()
    (first, second) = exporter.instances()
    assert first != second
    assert PLATFORM_INSTANCE not in {first, second}


def test_process_that_gets_its_folder_later_joins_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    exporter = Exported()
    export = MetricsExport(exporter, Resource({}))
    with monkeypatch.context() as before:
        before.delenv(MULTIPROCESS_VARIABLE)
        export.export()
    export.export()
    assert exporter.instances()[1] == (tmp_path / "shared" / "otlp_source").read_text().split()[0]
