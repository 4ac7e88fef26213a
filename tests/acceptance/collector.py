"""OpenTelemetry collector that stores the spans, metrics and log lines that it receives."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """Server on loopback. ``metrics`` has the last export of each by instance and name."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.lines: list[LogRecord] = []
        self.metrics: dict[tuple[str, str], Metric] = {}
        collector = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                {"/v1/traces": collector._spans, "/v1/logs": collector._logs, "/v1/metrics": collector._metrics}[
                    self.path
                ](body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def of_trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id.hex() == trace_id]

    def named(self, name: str) -> dict[str, Metric]:
        """Return the exports of a metric by instance."""
        return {instance: metric for (instance, each), metric in list(self.metrics.items()) if each == name}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _spans(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def _logs(self, body: bytes) -> None:
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for scope in resource.scope_logs:
                self.lines.extend(scope.log_records)

    def _metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            instance = texts_of(resource.resource.attributes)["service.instance.id"]
            for scope in resource.scope_metrics:
                self.metrics |= {(instance, metric.name): metric for metric in scope.metrics}


def texts_of(attributes: Any) -> Mapping[str, str]:
    """Return those attributes whose values are texts."""
    return {each.key: each.value.string_value for each in attributes if each.value.HasField("string_value")}
