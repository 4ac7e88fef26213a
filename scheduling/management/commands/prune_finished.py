"""Command that deletes old ended jobs now, by the plans' retention or by a given age."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.utils import timezone

from scheduling.upkeep.retention.jobs import PrunedJobs, count_prunable, prune_failed_jobs, prune_finished_jobs
from scheduling.upkeep.retention.rules import NO_TENANT, Cutoffs, RetentionClass, read_cutoffs
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.management.arguments import positive
from tenants.management.base import PlatformCommand
from tenants.models import Tenant
from tenants.tenancy.queries import find_tenant

BATCH_ROWS = 1_000


class Command(PlatformCommand):
    help = "Remove ended jobs that are older than the plans' retention, or than a number of days, in small batches."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than-days", type=positive, help="days to keep, instead of the plans' retention")
        parser.add_argument("--tenant", help="only this tenant")
        parser.add_argument("--dry-run", action="store_true", help="count only; remove nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(slug=options["tenant"]) if options["tenant"] else None
        days = options["older_than_days"]
        counts = self._count(tenant, days) if options["dry_run"] else self._prune(tenant, days)
        jobs = f"{counts['finished_jobs']:,} finished and {counts['failed_jobs']:,} failed jobs"
        self.show(
            options,
            {**counts, "dry_run": options["dry_run"]},
            f"{jobs} {'would be' if options['dry_run'] else 'were'} removed.",
        )

    def _count(self, tenant: Tenant | None, days: int | None) -> dict[str, int]:
        finished = sum(count_prunable(page)[0] for page in pages(RetentionClass.FINISHED_JOBS, tenant, days))
        failed = sum(count_prunable(page)[1] for page in pages(RetentionClass.FAILED_JOBS, tenant, days))
        return {"finished_jobs": finished, "failed_jobs": failed}

    def _prune(self, tenant: Tenant | None, days: int | None) -> dict[str, int]:
        """Delete jobs batch by batch, and commit each batch.

        An audit entry is written before the first batch, and another with the counts at the end.
        """
        meant = {"tenant": tenant.slug if tenant else "all", "older_than_days": days or "by the plans' retention"}
        counts, is_whole = {"finished_jobs": 0, "failed_jobs": 0}, False
        _record("jobs.pruning", tenant, meant)
        try:
            for kept, prune in (
                (RetentionClass.FINISHED_JOBS, prune_finished_jobs),
                (RetentionClass.FAILED_JOBS, prune_failed_jobs),
            ):
                for removed in _remove(kept, prune, tenant, days):
                    counts[str(kept)] += removed
            is_whole = True
        finally:
            _record("jobs.pruned", tenant, {**counts, **meant, "is_whole": is_whole})
        return counts


def _remove(
    kept: RetentionClass, prune: Callable[..., PrunedJobs], tenant: Tenant | None, days: int | None
) -> Iterator[int]:
    """Delete batch after batch; yield the number of jobs that each batch deleted."""
    for page in pages(kept, tenant, days):
        while (pruned := prune(page, limit=BATCH_ROWS)).jobs:
            yield pruned.jobs


def _record(action: str, tenant: Tenant | None, facts: dict[str, Any]) -> None:
    with all_tenants():
        target = AuditTarget("scheduling.job", tenant_id=tenant.pk if tenant else None)
        record_audit(action=action, target=target, after=facts)


def pages(kept: RetentionClass, tenant: Tenant | None, days: int | None) -> Iterator[Cutoffs]:
    """Yield pages of the chosen tenants with the times before which their jobs are deleted."""
    after, moment = NO_TENANT, timezone.now() - timedelta(days=days or 0)
    while True:
        with all_tenants():
            page = read_cutoffs(kept, after=after)
        if page.last is None:
            return
        rows = [
            (tenant_id, moment if days else cutoff)
            for tenant_id, cutoff in zip(page.tenant_ids, page.moments, strict=True)
            if tenant is None or tenant_id == tenant.pk
        ]
        if rows:
            yield Cutoffs([tenant_id for tenant_id, _ in rows], [cutoff for _, cutoff in rows])
        after = page.last
