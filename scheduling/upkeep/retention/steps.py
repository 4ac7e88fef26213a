"""Steps of the upkeep tasks that prune rows by retention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from scheduling.archive.service import remove_unfinished
from scheduling.archive.store import is_archiving
from scheduling.statistics.rollups import prune_rollups
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep
from scheduling.upkeep.retention import history, jobs
from scheduling.upkeep.retention.audit import find_old_chains
from scheduling.upkeep.retention.platform_rows import prune_platform_rows
from scheduling.upkeep.retention.rules import (
    NO_TENANT,
    Cutoffs,
    RetentionClass,
    greatest_cutoff,
    read_cutoffs,
    record_pruning,
)
from tenants.audit.chain import PLATFORM_CHAIN
from tenants.audit.removals import request_removal
from tenants.context import all_tenants
from tenants.holds.service import list_held
from tenants.models import AuditRemoval

# Phases of one walk through history: whole days first, then tenants with shorter retention.
_PHASES = [
    *(("day", table) for table in history.TABLES),
    *(("tenants", table) for table in history.TENANT_TABLES),
]


def prune_finished(budget: UpkeepBudget) -> UpkeepStep:
    """Prune completed and cancelled jobs, and then batches without jobs."""
    if "batches_after" in budget.cursor:
        return _prune_batches(budget)
    if not budget.cursor and is_archiving():
        remove_unfinished()
    step = _prune_jobs(budget, RetentionClass.FINISHED_JOBS, jobs.prune_finished_jobs)
    return step if step.has_more else replace(step, has_more=True, cursor={"batches_after": str(NO_TENANT)})


def prune_failed(budget: UpkeepBudget) -> UpkeepStep:
    """Prune discarded and quarantined jobs with their dead letters."""
    return _prune_jobs(budget, RetentionClass.FAILED_JOBS, jobs.prune_failed_jobs)


def prune_history(budget: UpkeepBudget) -> UpkeepStep:
    """Prune events, errors, executions, charges and log lines."""
    number = int(budget.cursor.get("phase", 0))
    if number >= len(_PHASES):
        return UpkeepStep()
    phase, table = _PHASES[number]
    if phase == "day":
        return _drop_day(number, table)
    return _prune_tenants(number, table, budget)


def request_audit_pruning(budget: UpkeepBudget) -> UpkeepStep:
    """Request that the auditor prunes each audit chain with old entries, the platform's own chain first."""
    after = budget.cursor.get("after")
    if after is None:
        with all_tenants():
            before = greatest_cutoff(RetentionClass.AUDIT)
        request_removal(PLATFORM_CHAIN, AuditRemoval.Kind.RETENTION, before=before)
        return UpkeepStep({"chains": 1}, has_more=True, cursor={"after": str(NO_TENANT)})
    with all_tenants():
        cutoffs = read_cutoffs(RetentionClass.AUDIT, after=UUID(str(after)))
        old = find_old_chains(cutoffs.without(list_held()))
        for chain in old:
            request_removal(chain.tenant_id, AuditRemoval.Kind.RETENTION, before=chain.before)
    return UpkeepStep({"chains": len(old)}, has_more=not cutoffs.is_last_page, cursor=_page(cutoffs))


def prune_platform(budget: UpkeepBudget) -> UpkeepStep:
    """Prune ended sessions, stopped workers, old upkeep runs and other rows of the platform, and old rollups."""
    with all_tenants():
        rollups = prune_rollups(limit=budget.batch_rows)
        record_pruning("rollups", rollups)
    counts = {**prune_platform_rows(limit=budget.batch_rows), **rollups}
    return UpkeepStep(counts, has_more=max(counts.values()) >= budget.batch_rows)


def _prune_jobs(budget: UpkeepBudget, kept: RetentionClass, prune: Callable[..., jobs.PrunedJobs]) -> UpkeepStep:
    after = UUID(str(budget.cursor.get("after", NO_TENANT)))
    with all_tenants():
        cutoffs = read_cutoffs(kept, after=after)
    if cutoffs.last is None:
        return UpkeepStep()
    pruned = prune(cutoffs, limit=budget.batch_rows)
    counts = {"jobs": pruned.jobs, "dead_letters": pruned.letters, "log_lines": pruned.log_lines}
    counts |= {"archived_jobs": pruned.archived} if pruned.archived else {}
    if pruned.tenant_id is not None:
        # Locked rows are left to the next run; an object of the archive may end before all of a batch.
        is_over = pruned.jobs == 0 if pruned.archived else pruned.jobs < budget.batch_rows
        return UpkeepStep(counts, has_more=True, cursor={"after": str(pruned.tenant_id if is_over else after)})
    return UpkeepStep(counts, has_more=not cutoffs.is_last_page, cursor=_page(cutoffs))


def _prune_batches(budget: UpkeepBudget) -> UpkeepStep:
    with all_tenants():
        cutoffs = read_cutoffs(RetentionClass.FINISHED_JOBS, after=UUID(str(budget.cursor["batches_after"])))
    gone = jobs.prune_batches(cutoffs, limit=budget.batch_rows) if cutoffs.last else 0
    if gone >= budget.batch_rows:
        return UpkeepStep({"batches": gone}, has_more=True, cursor=budget.cursor)
    cursor = {} if cutoffs.is_last_page else {"batches_after": str(cutoffs.last)}
    return UpkeepStep({"batches": gone}, has_more=bool(cursor), cursor=cursor)


def _drop_day(number: int, table: str) -> UpkeepStep:
    dropped = history.drop_oldest_day(table)
    counts = {"days_dropped": int(dropped.partition is not None), "days_locked": int(dropped.was_locked)}
    counts |= {"days_held": dropped.held} if dropped.held else {}
    return _go_on(number, counts, is_over=dropped.partition is None)


def _prune_tenants(number: int, table: str, budget: UpkeepBudget) -> UpkeepStep:
    after = UUID(str(budget.cursor.get("after", NO_TENANT)))
    with all_tenants():
        cutoffs = read_cutoffs(history.TABLES[table], after=after)
    if cutoffs.last is None:
        return _go_on(number, {}, is_over=True)
    days = Cutoffs(cutoffs.tenant_ids, [history.day_of(moment) for moment in cutoffs.moments])
    pruned = history.prune_tenant_history(table, days, limit=budget.batch_rows)
    counts = {table.removeprefix("scheduling_"): pruned.rows}
    if pruned.tenant_id is not None:
        return UpkeepStep(counts, has_more=True, cursor={"phase": number, "after": str(after)})
    if cutoffs.is_last_page:
        return _go_on(number, counts, is_over=True)
    return UpkeepStep(counts, has_more=True, cursor={"phase": number, **_page(cutoffs)})


def _go_on(number: int, counts: dict[str, int], *, is_over: bool) -> UpkeepStep:
    following = number + 1 if is_over else number
    has_more = following < len(_PHASES)
    return UpkeepStep(counts, has_more=has_more, cursor={"phase": following} if has_more else {})


def _page(cutoffs: Cutoffs) -> dict[str, str]:
    """Return the cursor of the next page of tenants, empty if this page is the last."""
    return {} if cutoffs.is_last_page else {"after": str(cutoffs.last)}
