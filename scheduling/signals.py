"""Telemetry: what happened, for observers that log and count. No work hangs on these.

Each is sent after its transaction committed, with plain values.
"""

from __future__ import annotations

from django.dispatch import Signal

jobs_submitted = Signal()  # tenant_id, kind, count
jobs_dispatched = Signal()  # pool, count, seconds
dispatch_undone = Signal()  # pool, count, error
dispatch_failed = Signal()  # pool, error
execution_started = Signal()  # tenant_id, job_id, execution_id, kind, waited_seconds
execution_ended = Signal()  # tenant_id, job_id, execution_id, kind, outcome, seconds
executions_rescued = Signal()  # count, reason
upkeep_ended = Signal()  # name, outcome, seconds, findings
schedules_fired = Signal()  # tenant_id, outcome, count
schedule_disabled = Signal()  # tenant_id, schedule_id, reason
