"""Start-up warnings: queues without a reader, clock skew, and alerts that are evaluated too rarely."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.checks import WARNING
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now

from scheduling import checks
from scheduling.fleet import processes
from scheduling.fleet.workers import register_worker
from scheduling.models import Queue, QueueStanding, Worker
from tenants.context import all_tenants
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

HERE = ["default"]


def test_queue_without_a_reader_is_a_warning_that_names_it() -> None:
    assert checks.check_queue_consumers(HERE) == []
    with all_tenants():
        queue = Queue.objects.get(name="dataset")
        QueueStanding.objects.update_or_create(queue=queue, defaults={"unread_since": Now()})
    [warning] = checks.check_queue_consumers(HERE)
    assert (warning.id, warning.level) == ("scheduling.W001", WARNING)
    assert "no live worker consumes dataset" in warning.msg
    assert "run_worker --pool=default" in str(warning.hint)


@pytest.mark.parametrize(("ahead", "count"), [(0.5, 0), (-1.0, 0), (5.0, 1), (-7_200.0, 1)])
def test_clock_of_this_machine_is_compared_with_the_databases(
    ahead: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        now = cursor.fetchone()[0]
    monkeypatch.setattr(processes.time, "time", lambda: now + ahead)
    warnings = checks.check_clocks(HERE)
    assert [warning.id for warning in warnings] == ["scheduling.W002"] * count
    assert all("this machine's clock" in warning.msg for warning in warnings)


def test_clock_skew_of_a_live_worker_is_a_warning() -> None:
    worker = register_worker(pool_name="default", hostname="there", pid=1, slots=1)
    with all_tenants():
        Worker.objects.filter(pk=worker.worker_id).update(clock_skew_seconds=40.0)
    [warning] = checks.check_clocks(HERE)
    assert (warning.id, warning.level) == ("scheduling.W002", WARNING)
    assert "+40.00 s" in warning.msg


def test_checks_read_nothing_unless_the_database_is_named() -> None:
    assert checks.check_clocks(None) == checks.check_queue_consumers(None) == []


def test_rare_evaluation_of_alerts_is_a_warning_with_its_cure(change_platform_settings: ChangePlatformSettings) -> None:
    assert checks.check_alert_evaluation(None) == []
    change_platform_settings(ALERT_EVALUATION_SECONDS=30)
    [warning] = checks.check_alert_evaluation(None)
    assert (warning.id, warning.level) == ("scheduling.W003", WARNING)
    assert "Set ALERT_EVALUATION_SECONDS to 10 or less" in str(warning.hint)


def test_check_command_prints_the_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "measure_clock_skew", lambda: 9.0)
    out = StringIO()
    call_command("check", databases=HERE, stderr=out)
    assert "scheduling.W002" in out.getvalue()


def test_deployment_without_a_heartbeat_to_the_outside_gets_a_hint(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    (warning,) = checks.check_heartbeat_url(None)
    assert (warning.id, warning.level) == ("scheduling.W004", WARNING)
    change_platform_settings(ALERT_HEARTBEAT_URL="https://heartbeats.example.org/jobs")
    assert checks.check_heartbeat_url(None) == []
