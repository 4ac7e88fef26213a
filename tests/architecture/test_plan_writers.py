"""Only their services write plans: any other edit would be no version and have no author."""

from __future__ import annotations

import re

import pytest

from jobsplatform.settings.env import BASE_DIR

WRITERS = {
    "scheduling/plans/service.py": "CFS plans and their tier rows",
    "tenants/plans/service.py": "plans and their limits",
}
WRITES = re.compile(
    r"\b(?:Plan|PlanLimit|CFSPlan|CFSPlanTier)\.objects\b[^\n]*"
    r"\.(?:create|bulk_create|bulk_update|update|delete|get_or_create|update_or_create)\("
    r"|\b(?:UPDATE|INSERT INTO|DELETE FROM) (?:tenants_plan(?:limit)?|scheduling_cfsplan(?:tier)?)\b"
    r"|\bplan\.(?:tiers|limits)\.all\(\)\.(?:update|delete)\("
    r"|\bplan\.(?:save|delete)\("
)


def writers() -> set[str]:
    """Return the modules of the product that write plans, without migrations."""
    return {
        str(path.relative_to(BASE_DIR))
        for package in ("jobsplatform", "scheduling", "tenants", "workloads")
        for suffix in ("py", "sql")
        for path in (BASE_DIR / package).rglob(f"*.{suffix}")
        if "migrations" not in path.parts and WRITES.search(path.read_text())
    }


def test_plans_are_written_by_their_services_only() -> None:
    assert writers() == set(WRITERS)


@pytest.mark.parametrize(
    "line",
    [
        "Plan.objects.filter(pk=pk).update(weight=3)",
        "CFSPlanTier.objects.create(plan=plan)",
        'cursor.execute("UPDATE tenants_plan SET weight = 3")',
        "plan.limits.all().delete()",
        "plan.save()",
    ],
)
def test_write_of_a_plan_is_found(line: str) -> None:
    assert WRITES.search(line)
