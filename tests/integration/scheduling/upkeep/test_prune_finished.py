"""The command `prune_finished`: it is audited even if it fails."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import call_command

from scheduling.management.commands import prune_finished
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.upkeep.test_retention import jobs_left, old_job

pytestmark = pytest.mark.django_db


def entries() -> list[tuple[str, dict[str, Any]]]:
    with all_tenants():
        found = AuditLogEntry.objects.filter(action__startswith="jobs.prun").order_by("id")
        return [(entry.action, entry.after) for entry in found]


def test_prune_is_audited_before_it_starts_and_when_it_fails(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        old_job(acme, "completed", days=300)
    prune, seen = prune_finished.prune_finished_jobs, []

    def breaks(cutoffs: Any, *, limit: int) -> Any:
        seen.append(entries())
        if len(seen) == 2:
            raise KeyboardInterrupt
        return prune(cutoffs, limit=2)

    monkeypatch.setattr(prune_finished, "prune_finished_jobs", breaks)
    with pytest.raises(KeyboardInterrupt):
        call_command("prune_finished", "--older-than-days", "30", "--tenant", "acme", stdout=io.StringIO())
    assert len(jobs_left()) == 1
    meant = {"tenant": "acme", "older_than_days": 30}
    assert seen[0] == [("jobs.pruning", meant)]
    assert entries()[1:] == [
        ("jobs.pruned", {"finished_jobs": 2, "failed_jobs": 0, **meant, "is_whole": False}),
    ]


def test_dry_run_is_not_audited(acme: Tenant) -> None:
    old_job(acme, "completed", days=300)
    call_command("prune_finished", "--dry-run", stdout=io.StringIO())
    assert entries() == []
