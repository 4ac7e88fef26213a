"""A storm: ten thousand jobs that fail within a minute are one group, and two messages to a contact."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from scheduling.alerts.evaluator import Evaluator
from scheduling.models import (
    Alert,
    AlertCause,
    AlertClock,
    AlertMessage,
    AlertNotice,
    AlertRule,
    Job,
    JobError,
    Queue,
    QueueMinute,
)
from scheduling.statistics.rollups import fold_tallies
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.integration.scheduling.alerts.helpers import make_contact

pytestmark = pytest.mark.usefixtures("transactional_db")

JOBS, CAUSES, MOST_MESSAGES = 10_000, 50, 3
PLANT = """
WITH made AS (
    INSERT INTO scheduling_job (id, tenant_id, kind, queue_id, state, priority, rank, fair_key, tags, payload,
        payload_hash, attempt, crash_count, execution_count, max_retries, fence, progress_current, progress_total,
        progress_message, checkpoint, error_type, error_message, error_fingerprint, run_at, created_at, started_at,
        finished_at)
    SELECT uuidv7(at - now()), %(tenant)s, 'noop', %(queue)s, 'discarded', 0, n, '', '{}', '{}', sha256(n::text::bytea),
        1, 0, 1, 0, 1, 0, 0, '', '{}', 'Boom', 'boom ' || n %% %(causes)s, lpad((n %% %(causes)s)::text, 16, '0'),
        at, at, at, at
    FROM (
        SELECT n, now() - interval '5 s' - n * interval '5 ms' AS at FROM generate_series(1, %(jobs)s) AS n
    ) AS moments
    RETURNING id, tenant_id, queue_id, kind, error_type, error_message, error_fingerprint, finished_at
), error AS (
    INSERT INTO scheduling_joberror (id, tenant_id, job_id, kind, error_type, error_message, error_fingerprint, at)
    SELECT uuidv7(finished_at - now()), tenant_id, id, kind, error_type, error_message, error_fingerprint, finished_at
    FROM made
)
INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, wait_us, started_at, measured_us, ended_at)
SELECT tenant_id, queue_id, kind, 'failed', true, 1000, finished_at, 1000, finished_at FROM made
"""
# The storm is over: what was counted of it is six minutes older.
END = """
UPDATE scheduling_queue_minute SET minute = minute - interval '6 minutes';
UPDATE scheduling_kind_minute SET minute = minute - interval '6 minutes';
UPDATE scheduling_alert_cause SET first_at = first_at - interval '6 minutes';
"""


def plant(tenant: Tenant) -> None:
    values = {"tenant": tenant.pk, "queue": Queue.objects.get(name="pipeline").pk, "jobs": JOBS, "causes": CAUSES}
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(PLANT, values)
    while fold_tallies():
        pass


def take_turns(count: int) -> None:
    """Evaluate ``count`` times, ten seconds apart; each time by another dispatcher, which reads every measure."""
    for _ in range(count):
        with all_tenants():
            now = read_clock()
            # No worker has registered in this test.
            AlertClock.objects.update(evaluated_at=now - timedelta(seconds=8), settling_until=now + timedelta(hours=1))
            earlier = timedelta(seconds=10)
            Alert.objects.exclude(state="resolved").update(evaluated_at=F("evaluated_at") - earlier)
            AlertNotice.objects.filter(message=None).update(due_at=F("due_at") - earlier)
            AlertMessage.objects.update(created_at=F("created_at") - earlier)
        Evaluator().take_turn()


def test_ten_thousand_failures_within_a_minute_are_one_group_and_two_messages(acme: Tenant) -> None:
    contact = make_contact()
    with all_tenants():
        # No auditor runs in this test.
        AlertRule.objects.filter(origin="integrity").delete()
    plant(acme)
    with all_tenants():
        assert (Job.objects.count(), JobError.objects.count()) == (JOBS, JOBS)
        assert sum(QueueMinute.objects.values_list("failed", flat=True)) == JOBS
    take_turns(12)
    with all_tenants():
        assert AlertCause.objects.count() == CAUSES
        assert Alert.objects.filter(rule__origin="new_cause", state="firing", inhibited_by__isnull=False).exists()
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(END)
    take_turns(12)
    with all_tenants():
        messages = list(AlertMessage.objects.filter(contact=contact).order_by("pk"))
        notified = [(alert["id"], alert["state"]) for one in messages for alert in one.body["alerts"]]
        (group,) = {alert_id for alert_id, _ in notified}
        assert Alert.objects.get(pk=group).rule.origin == "failure_rate"
        assert notified == [(group, "firing"), (group, "resolved")]
        assert not Alert.objects.exclude(state="resolved").exists()
    assert len(messages) <= MOST_MESSAGES
