"""Deletion reports: what retention and erasures deleted, by rule and table, with the entries that prove it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from scheduling.evidence.controls import TEMPLATES
from scheduling.evidence.packs import build_pack
from scheduling.models import Batch, JobMeta
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.evidence import test_packs
from tests.integration.scheduling.evidence.test_packs import LONG_AGO, act, lines, seal, verify
from tests.integration.scheduling.upkeep.test_retention import keep, make_day, old_history, old_id, old_job
from tests.integration.tenants.erasure import test_erasure
from tests.integration.tenants.erasure.test_erasure import asked, run_to_the_end

settled_at_once = test_packs.settled_at_once
no_grace = test_erasure.no_grace
DELETION = TEMPLATES["deletion"]


def entries_of(tenant: Tenant | None) -> list[dict[str, Any]]:
    with all_tenants():
        found = AuditLogEntry.objects.filter(action="retention.pruned", tenant=tenant).order_by("id")
        return [dict(entry.after or {}) for entry in found]


@pytest.mark.django_db
def test_pruned_jobs_are_recorded_by_table_in_the_chain_of_their_tenant(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        keep(acme, finished_jobs=5, failed_jobs=5)
        batch = Batch.objects.create(id=old_id(9), tenant=acme, label="b", total=1)
        Batch.objects.filter(pk=batch.pk).update(created_at=LONG_AGO)
    jobs = [old_job(acme, "completed", days=8), old_job(acme, "completed", days=7)]
    with all_tenants():
        JobMeta.objects.create(tenant=acme, job_id=jobs[0].pk, name="order", value="4711")
    old_job(acme, "discarded", days=8)
    for name in ("finished_jobs", "failed_jobs"):
        run_upkeep(name=name)
    found = [(facts["rule"], facts["removed"]) for facts in entries_of(acme)]
    assert found == [
        ("finished_jobs", {"scheduling_job": 2, "scheduling_job_meta": 1}),
        ("finished_jobs", {"scheduling_batch": 1}),
        ("failed_jobs", {"scheduling_job": 1, "scheduling_deadletter": 1}),
    ]
    assert entries_of(globex) == []


@pytest.mark.django_db
def test_pruned_history_is_recorded_by_table(acme: Tenant) -> None:
    with all_tenants():
        keep(acme, events=5)
    old_history(acme, days=8)
    run_upkeep(name="history")
    (facts,) = [facts for facts in entries_of(acme) if facts["rule"] == "events"]
    assert facts["removed"] == {"scheduling_jobevent": 1}


@pytest.mark.django_db
def test_dropped_day_is_recorded_with_its_rows(acme: Tenant, globex: Tenant) -> None:
    make_day(500)
    since_midnight = timezone.now() - timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for tenant in (acme, globex):
        # At noon of that day.
        old_history(tenant, days=499.5 + since_midnight / timedelta(days=1))
    run_upkeep(name="history")
    found = [facts["removed"] for facts in entries_of(None) if "partition" in facts]
    assert {"scheduling_jobevent": 2} in found
    assert {"scheduling_charge": 4} in found


@pytest.mark.django_db(transaction=True)
def test_report_counts_what_was_deleted_and_names_the_seals(
    acme: Tenant, globex: Tenant, tmp_path: Path, no_grace: None
) -> None:
    with all_tenants():
        keep(acme, finished_jobs=5)
    for _ in range(3):
        old_job(acme, "completed", days=8)
    run_upkeep(name="finished_jobs")
    act(globex)
    subject = globex.pk
    erasure = run_to_the_end(asked(globex))
    until = seal()
    build_pack(tmp_path / "all", template=DELETION, since=LONG_AGO, until=until)
    build_pack(tmp_path / "own", template=DELETION, since=LONG_AGO, until=until, tenant=acme)

    rows = lines(tmp_path / "all", "deletions")
    jobs = next(row for row in rows if row["table"] == "scheduling_job" and row["tenant"] == str(acme.pk))
    assert (jobs["rule"], jobs["removed"], jobs["entries"]) == ("finished_jobs", 3, 1)
    assert jobs["last_hash"] in {row["hash"] for row in lines(tmp_path / "all", "audit_log")}
    erased = [row for row in rows if row["kind"] == "erasure"]
    assert {(row["tenant"], row["proof_sha256"], row["left"]) for row in erased} == {
        (str(subject), erasure.proof_sha256, 0)
    }
    own = next(row for row in erased if row["table"] == "tenants_tenant")
    assert (own["before"], own["removed"], own["left"]) == (1, 1, 0)
    assert {row["tenant"] for row in lines(tmp_path / "own", "deletions")} == {str(acme.pk)}
    assert verify(tmp_path / "all") == (0, "")
