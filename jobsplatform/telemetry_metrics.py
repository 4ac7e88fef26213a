"""Metrics by OTLP, converted from the registries that Prometheus scrapes, so that each metric is defined once.

Processes that share the folder PROMETHEUS_MULTIPROC_DIR are one source: one of them, which holds a lock, exports the
sums, which include those of ended processes. A process without a folder exports its own. Each dispatcher also exports
the gauges that are read from the database. All do so under the same instance, because the values are the same.
"""

import fcntl
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import connections
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric
from prometheus_client.samples import Sample

from scheduling import signals
from scheduling.observability import exemplars
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE, PREFIX, scrape_registry

logger = logging.getLogger(__name__)

INTERVAL_VARIABLE, DEFAULT_INTERVAL_MS = "OTEL_METRIC_EXPORT_INTERVAL", 60_000
LOCK_FILE = "otlp_source"
# The source of the gauges of the database, whichever dispatcher reads them.
PLATFORM_INSTANCE = "platform"
_CUMULATIVE = otel.AggregationTemporality.CUMULATIVE


def start_metrics(resource: Resource) -> None:
    """Export metrics from a thread of this process every OTEL_METRIC_EXPORT_INTERVAL milliseconds."""
    export = MetricsExport(OTLPMetricExporter(), resource)
    # Only dispatchers have duties.
    signals.duty_ended.connect(export.note_duty, dispatch_uid="jobsplatform.telemetry_metrics")
    threading.Thread(target=export.run, name="metrics export", daemon=True).start()


class MetricsExport:
    """Export of the metrics that this process is responsible for."""

    def __init__(self, exporter: otel.MetricExporter, resource: Resource) -> None:
        self._exporter, self._resource = exporter, resource
        self._is_dispatcher = False
        self._own_source = str(uuid4()), time.time_ns()
        self._lock: int | None = None

    def note_duty(self, sender: object, **_: Any) -> None:
        """Remember that this process is a dispatcher."""
        self._is_dispatcher = True

    def run(self) -> None:
        """Export after each interval, until the process ends."""
        while True:
            time.sleep(int(os.environ.get(INTERVAL_VARIABLE) or DEFAULT_INTERVAL_MS) / 1_000)
            try:
                self.export()
            except Exception:
                logger.exception("metrics.not_exported")

    def export(self) -> None:
        """Export the counters if this process stands for its folder, and the gauges if it is a dispatcher."""
        # Read each time: `run_platform` sets it after its start.
        folder = os.environ.get(MULTIPROCESS_VARIABLE)
        if source := self._claim(Path(folder)) if folder else self._own_source:
            instance, started = source
            self._send(instance, convert(scrape_registry().collect(), started, exemplars.read()))
        if self._is_dispatcher:
            from jobsplatform.health.metrics import REGISTRY

            try:
                self._send(PLATFORM_INSTANCE, convert(REGISTRY.collect()))
            finally:
                connections.close_all()

    def _claim(self, folder: Path) -> tuple[str, int] | None:
        """Return the name and the beginning of the folder's source; None while another process exports it."""
        if self._lock is None:
            self._lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)
        try:
            # Not flock: a forked child would keep that lock after the end of its parent.
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        if not (text := os.pread(self._lock, 100, 0)):
            text = f"{uuid4()} {time.time_ns()}".encode()
            os.pwrite(self._lock, text, 0)
        instance, started = text.decode().split()
        return instance, int(started)

    def _send(self, instance: str, metrics: Sequence[otel.Metric]) -> None:
        scope = otel.ScopeMetrics(InstrumentationScope("jobsplatform"), metrics, schema_url="")
        resource = self._resource.merge(Resource({SERVICE_INSTANCE_ID: instance}))
        data = otel.MetricsData([otel.ResourceMetrics(resource, [scope], schema_url="")])
        if self._exporter.export(data) is not otel.MetricExportResult.SUCCESS:
            logger.warning("metrics.not_exported", extra={"instance": instance})


def convert(families: Iterable[Metric], started: int = 0, links: exemplars.Links | None = None) -> list[otel.Metric]:
    """Return the platform's metrics among these as those of OpenTelemetry, under their names in Prometheus."""
    found, now = [], time.time_ns()
    for family in families:
        if not family.name.startswith(PREFIX) or not family.samples:
            continue
        name, data = family.name, _data_of(family, started, now, (links or {}).get(family.name, ()))
        name += "_total" if family.type == "counter" else ""
        found.append(otel.Metric(name, family.documentation, "", data))
    return found


def _data_of(family: Metric, started: int, now: int, links: Sequence[exemplars.Link]) -> otel.DataT:
    if family.type == "histogram":
        series = defaultdict[tuple[tuple[str, str], ...], list[Sample]](list)
        for sample in family.samples:
            series[tuple((name, value) for name, value in sample.labels.items() if name != "le")].append(sample)
        points = [_histogram_point(dict(labels), own, started, now, links) for labels, own in series.items()]
        return otel.Histogram(points, _CUMULATIVE)
    if family.type == "counter":
        totals = [sample for sample in family.samples if sample.name.endswith("_total")]
        counts = [otel.NumberDataPoint(each.labels, started, now, each.value) for each in totals]
        return otel.Sum(counts, _CUMULATIVE, is_monotonic=True)
    return otel.Gauge([otel.NumberDataPoint(each.labels, now, now, each.value) for each in family.samples])


def _histogram_point(
    labels: Mapping[str, str], samples: Sequence[Sample], started: int, now: int, links: Sequence[exemplars.Link]
) -> otel.HistogramDataPoint:
    # Of Prometheus's buckets each contains the smaller ones.
    reached = sorted((float(each.labels["le"]), int(each.value)) for each in samples if "le" in each.labels)
    counts = [count for _, count in reached]
    return otel.HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=started,
        time_unix_nano=now,
        count=counts[-1],
        sum=next(each.value for each in samples if each.name.endswith("_sum")),
        bucket_counts=[count - before for count, before in zip(counts, [0, *counts], strict=False)],
        explicit_bounds=[bound for bound, _ in reached[:-1]],
        min=None,  # type: ignore[arg-type] # optional in OTLP, and unknown
        max=None,  # type: ignore[arg-type]
        exemplars=[_exemplar(each) for each in links if each.labels == labels],
    )


def _exemplar(link: exemplars.Link) -> Exemplar:
    _, trace_id, span_id, _ = link.traceparent.split("-")
    return Exemplar({}, link.seconds, int(link.at * 1e9), span_id=int(span_id, 16), trace_id=int(trace_id, 16))
