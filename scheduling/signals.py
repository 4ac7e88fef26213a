"""Signals for receivers that log and count; no function of the platform depends on them.

Each is sent after its transaction has committed, unless it says otherwise, with plain values as arguments.
"""

from __future__ import annotations

from django.dispatch import Signal

jobs_submitted = Signal()  # tenant_id, kind, queue, tier, count
jobs_shed = Signal()  # kind, tier, action: refuse or delay; sent before the end of the transaction
routing_fell_back = Signal()  # strategy, cause; sent before the end of the transaction
jobs_dispatched = Signal()  # pool, count, seconds
waiting_jobs_moved = Signal()  # event, state, count
dispatch_undone = Signal()  # pool, count, error
broker_emptied = Signal()  # no values: the broker came back without messages that we need
duty_ended = Signal()  # duty, seconds, is_failed
executions_started = Signal()  # executions: scheduling.execution.start.StartedTurn of each, one or all of a message
executions_ended = Signal()  # executions: scheduling.execution.settlement.SettledExecution of each in a settlement
executions_rescued = Signal()  # count, reason
upkeep_ended = Signal()  # name, outcome, seconds, findings
schedules_fired = Signal()  # tenant_id, outcome, count
schedule_disabled = Signal()  # tenant_id, schedule_id, reason
messages_republished = Signal()  # count
message_refused = Signal()  # reason
circuit_opened = Signal()  # tenant_id (None: shared), kind, dependency, is_again
yields_decided = Signal()  # requested, withdrawn
sessions_ended = Signal()  # count, workers: the names of their sessions
tenants_left_out = Signal()  # pool_id, holders: the locking server process of each newly skipped tenant, or None
alert_message_ended = Signal()  # channel, is_sent
outbox_attempted = Signal()  # adapter, is_delivered
job_lines_written = Signal()  # lines: scheduling.execution.logs.service.LogLine, facts: of their job; none is sealed
worker_given_up = Signal()  # pool, worker_id, reason
