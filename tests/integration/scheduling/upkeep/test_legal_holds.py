"""Legal holds: neither retention nor an erasure deletes anything of a tenant with a hold."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, connections
from django.utils import timezone

from scheduling.models import DeadLetter, Execution, JobEvent
from scheduling.upkeep.partitions import HISTORY_TABLES, list_partitions
from scheduling.upkeep.retention import history
from scheduling.upkeep.retention.jobs import prune_finished_jobs
from scheduling.upkeep.retention.rules import RetentionClass, read_cutoffs
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.erasure.proof import find_erasure
from tenants.erasure.requests import request_erasure
from tenants.erasure.steps import advance
from tenants.exceptions import LegalHoldError, LegalHoldNotFoundError, LegalHoldReleasedError, ReasonRequiredError
from tenants.holds.service import list_held, place_hold, release_hold
from tenants.models import AuditLogEntry, AuditRemoval, LimitWarning, Tenant
from tenants.tenancy.service import suspend_tenant
from tests.checks import faults_of
from tests.integration.scheduling.upkeep.test_retention import (
    jobs_left,
    make_day,
    old_history,
    old_job,
    rows_of,
)
from tests.platform_settings import ChangePlatformSettings
from workloads.files.models import Content
from workloads.files.store import discard_unused, store_bytes

pytestmark = pytest.mark.django_db(transaction=True)


def test_held_tenant_keeps_its_jobs_and_another_loses_its_own(acme: Tenant, globex: Tenant) -> None:
    hold = place_hold(tenant=acme, reason="case 7")
    held = {old_job(acme, state, days=300).pk for state in ("completed", "discarded")}
    for state in ("completed", "discarded"):
        old_job(globex, state, days=300)
    for name in ("finished_jobs", "failed_jobs"):
        assert (run_upkeep(name=name).outcome, run_upkeep(name=name).counts["jobs"]) == ("ok", 0)
    call_command("prune_finished", "--older-than-days", "1")
    assert jobs_left() == held
    assert rows_of(DeadLetter) == 1
    release_hold(hold_id=hold.pk, reason="settled")
    for name in ("finished_jobs", "failed_jobs"):
        run_upkeep(name=name)
    assert jobs_left() == set()


def test_day_with_held_rows_stays_and_loses_the_rows_of_others(acme: Tenant, globex: Tenant) -> None:
    make_day(501)
    make_day(500)
    now = timezone.now()
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    for tenant, day in ((acme, 500), (globex, 500), (globex, 501)):
        old_history(tenant, days=(now - noon) / timedelta(days=1) + day, measured_us=5_000)
    hold = place_hold(tenant=acme, reason="case 7")
    run = run_upkeep(name="history", batch_rows=1)
    # The older day has no rows of acme; errors and log lines have none at all.
    tables = len(HISTORY_TABLES)
    assert (run.outcome, run.counts["days_dropped"], run.counts["days_held"]) == ("ok", 2 * tables - 3, 3)
    with all_tenants():
        assert {row.tenant_id for row in (*Execution.objects.all(), *JobEvent.objects.all())} == {acme.pk}
    assert faults_of("ledger") == []
    release_hold(hold_id=hold.pk, reason="settled")
    assert run_upkeep(name="history").counts["days_dropped"] == 3
    assert (rows_of(Execution), faults_of("ledger")) == (0, [])


def test_probe_for_held_rows_uses_an_index(acme: Tenant) -> None:
    make_day(500)
    with all_tenants(), connection.cursor() as cursor:
        for table in HISTORY_TABLES:
            (part,) = [p for p in list_partitions(table) if p.until < uuid7()][:1]
            statement = history._HAS_ROWS_OF.format(table=table)
            cursor.execute("SET LOCAL enable_seqscan = off")
            values = {"tenant_ids": [acme.pk], "first": part.since, "behind": part.until}
            cursor.execute(f"EXPLAIN {statement}", values)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Seq Scan" not in plan, plan
            assert plan.count("Scan using") + plan.count("Bitmap Index Scan") == 1, plan


def test_other_rows_of_a_held_tenant_are_kept(acme: Tenant, globex: Tenant) -> None:
    place_hold(tenant=acme, reason="case 7")
    with all_tenants():
        for tenant in (acme, globex):
            LimitWarning.objects.create(tenant=tenant, key="k", period="2020-01-01", percent=80, used=8, allowed=10)
    assert run_upkeep(name="platform_rows").counts["limit_warnings"] == 1
    with all_tenants():
        assert LimitWarning.objects.get().tenant_id == acme.pk


def test_contents_of_a_held_tenant_are_kept(acme: Tenant) -> None:
    key = store_bytes(acme.pk, b"some bytes").key
    with all_tenants():
        Content.objects.update(held_until=timezone.now())
    hold = place_hold(tenant=acme, reason="case 7")
    assert not discard_unused(acme.pk, key)
    release_hold(hold_id=hold.pk, reason="settled")
    assert discard_unused(acme.pk, key)


def test_erasure_is_refused_and_a_running_one_waits(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ERASURE_GRACE_SECONDS=0)
    suspend_tenant(tenant=acme, reason="contract ended")
    hold = place_hold(tenant=acme, reason="case 7")
    with pytest.raises(LegalHoldError, match=r"case 7.*Release the hold first"):
        request_erasure(tenant=acme, reason="contract ended", confirm="acme")
    with pytest.raises(CommandError, match="legal_hold: "):
        call_command("erase_tenant", "acme", "--reason", "ended", "--confirm", "acme")
    release_hold(hold_id=hold.pk, reason="settled")
    erasure = request_erasure(tenant=acme, reason="contract ended", confirm="acme")
    assert advance(erasure.pk)
    hold = place_hold(tenant=acme, reason="case 8")
    assert not advance(erasure.pk)
    assert str(hold.pk) in find_erasure(erasure_id=erasure.pk).note
    release_hold(hold_id=hold.pk, reason="settled")
    assert advance(erasure.pk)


def test_hold_withdraws_requests_to_prune_the_audit_log(acme: Tenant) -> None:
    with all_tenants():
        AuditRemoval.objects.create(chain=acme.pk, kind="retention", before="2020-01-01T00:00:00Z")
    place_hold(tenant=acme, reason="case 7")
    with all_tenants():
        assert not AuditRemoval.objects.exists()


def test_hold_waits_for_a_deletion_that_has_begun(acme: Tenant) -> None:
    def place(**values: Any) -> None:
        place_hold(tenant=acme, reason="case 7")
        connections.close_all()

    old_job(acme, "completed", days=300)
    thread = Thread(target=place)
    with all_tenants():
        assert list_held() == []
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        cutoffs = read_cutoffs(RetentionClass.FINISHED_JOBS)
        assert prune_finished_jobs(cutoffs, limit=10).jobs == 1
    thread.join(10)
    job = old_job(acme, "completed", days=300)
    assert prune_finished_jobs(cutoffs, limit=10).jobs == 0
    assert jobs_left() == {job.pk}


def test_tenant_with_two_holds_is_held_until_both_are_released(acme: Tenant) -> None:
    first, second = (place_hold(tenant=acme, reason=reason) for reason in ("case 7", "case 8"))
    release_hold(hold_id=first.pk, reason="settled")
    with all_tenants():
        assert list_held() == [acme.pk]
    with pytest.raises(LegalHoldReleasedError):
        release_hold(hold_id=first.pk, reason="again")
    with pytest.raises(ReasonRequiredError):
        release_hold(hold_id=second.pk, reason=" ")
    with pytest.raises(LegalHoldNotFoundError):
        release_hold(hold_id=uuid7(), reason="x")
    release_hold(hold_id=second.pk, reason="settled")
    with all_tenants():
        assert list_held() == []
        entries = AuditLogEntry.objects.filter(action__startswith="legal_hold.").order_by("pk")
        assert [entry.action.partition(".")[2] for entry in entries] == ["placed", "placed", "released", "released"]
        assert {entry.tenant_id for entry in entries} == {acme.pk}


def test_tenant_reads_its_own_holds_and_changes_none(acme: Tenant, globex: Tenant) -> None:
    place_hold(tenant=acme, reason="case 7")
    with tenant_context(globex):
        assert list_held() == []
    for change in ("UPDATE tenants_legalhold SET released_at = now()", "DELETE FROM tenants_legalhold"):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            tenant_context(acme),
            connection.cursor() as cursor,
        ):
            assert list_held() == [acme.pk]
            cursor.execute(change)
