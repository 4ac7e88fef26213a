"""Print the acceptance tests of the topics that changed: `python tools/acceptance_topics.py`, one path a line.

`.ci/accepted` holds the commit at which `make acceptance` last passed as a whole. A test file runs if a file of its
topic has changed since, or the file itself, or a module that acceptance tests share. All run if git does not find the
commit. Files of the mark `core` are left out: `make test` has run them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "tests/acceptance/"
ACCEPTED = ROOT / ".ci" / "accepted"
_CORE = re.compile(r"^pytestmark = .*\bmark\.core\b", re.MULTILINE)
# Changes to these concern every process.
SHARED = (
    "jobsplatform/celery.py",
    "jobsplatform/embedded/",
    "jobsplatform/settings/",
    "pyproject.toml",
    "requirements",
)
# Test files by name, with the paths of their topics.
TOPICS: dict[str, tuple[str, ...]] = {
    "alerts": ("scheduling/alerts/", "scheduling/configuration/", "scheduling/dispatch/", "tenants/mail.py"),
    "autoscaling": ("scheduling/fleet/", "scheduling/worker/"),
    "approvals": ("tenants/approvals/", "scheduling/approvals/"),
    "archive": ("scheduling/archive/", "scheduling/upkeep/", "tenants/holds/"),
    "batches": ("scheduling/jobs/",),
    "backups": ("scheduling/backups/", "tenants/audit/", "tenants/database/"),
    "broker_away": ("scheduling/dispatch/", "tenants/cache/"),
    "canaries": ("scheduling/worker/", "scheduling/fleet/", "jobsplatform/health/"),
    "coroutines": ("scheduling/execution/", "scheduling/kit/", "scheduling/worker/"),
    "controls": ("scheduling/controls/", "scheduling/evidence/", "scheduling/jobs/"),
    "documents": ("workloads/documents/", "workloads/files/", "scheduling/execution/"),
    "custom_roles": ("tenants/access/", "tenants/context.py", "tenants/narrowing.py", "scheduling/identity/"),
    "dataset_regions": ("scheduling/regions/", "workloads/documents/", "workloads/files/"),
    "draining": ("scheduling/stops/", "scheduling/worker/", "scheduling/fleet/"),
    "edges": ("jobsplatform/", "tenants/requests/", "tenants/api/"),
    "event_streams": ("scheduling/streams/", "tenants/requests/", "jobsplatform/"),
    "execution": ("scheduling/dispatch/", "scheduling/execution/", "scheduling/worker/"),
    "evidence": ("scheduling/evidence/", "tenants/audit/"),
    "exporter": ("scheduling/observability/", "jobsplatform/health/"),
    "fair_tasks": ("scheduling/celery/", "scheduling/kit/"),
    "fairness": ("scheduling/dispatch/", "scheduling/fairness/", "scheduling/shares/"),
    "foreign_consumers": ("scheduling/celery/", "scheduling/worker/", "scheduling/fleet/"),
    "https": ("jobsplatform/", "tenants/access/", "deploy/"),
    "identity": ("tenants/identity/", "tenants/access/", "scheduling/identity/", "jobsplatform/console/"),
    "io_pool": ("scheduling/execution/", "scheduling/kit/", "scheduling/worker/"),
    "job_logs": ("scheduling/execution/", "scheduling/worker/"),
    "key_provider": ("tenants/encryption/",),
    "leftovers": ("scheduling/worker/",),
    "limits": ("scheduling/limits/", "scheduling/worker/", "tenants/limits/"),
    "load": ("scheduling/load/", "scheduling/fairness/", "scheduling/priority_rules/"),
    "merging": ("scheduling/dispatch/", "scheduling/execution/", "scheduling/worker/"),
    "new_queues": ("scheduling/topology/", "scheduling/worker/", "scheduling/dispatch/"),
    "pgbouncer": ("tenants/database/",),
    "outside_effects": ("scheduling/compensation/", "scheduling/inbox/", "scheduling/outbox/", "workloads/webhooks/"),
    "pipelines": ("workloads/pipelines/", "workloads/documents/", "scheduling/kit/"),
    "platform": ("jobsplatform/", "scheduling/management/"),
    "probes": ("jobsplatform/health/", "scheduling/worker/", "scheduling/dispatch/"),
    "recovery": ("scheduling/dispatch/", "scheduling/execution/", "scheduling/worker/"),
    "regions": ("scheduling/regions/", "scheduling/dispatch/", "scheduling/topology/", "tenants/tenancy/"),
    "relay": ("scheduling/subscriptions/", "workloads/webhooks/", "scheduling/dispatch/"),
    "resources": ("scheduling/topology/", "scheduling/jobs/routing/"),
    "rolling_deploys": ("scheduling/kit/", "scheduling/topology/", "scheduling/worker/", "scheduling/fleet/"),
    "routing_strategies": ("scheduling/jobs/routing/", "scheduling/kit/", "scheduling/fleet/"),
    "schedules": ("scheduling/schedules/",),
    "sealing": ("tenants/audit/",),
    "slices": ("scheduling/execution/", "scheduling/fairness/", "scheduling/kit/"),
    "slow_clients": ("jobsplatform/", "tenants/requests/"),
    "starting": ("jobsplatform/", "scheduling/checks.py", "tenants/checks.py", "tenants/startup_checks.py"),
    "stopping": ("scheduling/worker/",),
    "streams": ("scheduling/streams/", "tenants/requests/"),
    "telemetry": ("jobsplatform/", "scheduling/tracing.py", "scheduling/observability/"),
    "two_sites": (
        "scheduling/sites/",
        "workloads/files/",
        "scheduling/dispatch/",
        "scheduling/execution/",
        "jobsplatform/health/",
    ),
    "tls": ("jobsplatform/", "tenants/database/", "tenants/cache/", "scheduling/dispatch/"),
    "unread_bodies": ("jobsplatform/", "tenants/requests/"),
    "verification": ("tenants/audit/", "scheduling/upkeep/"),
    "workflow_records": ("workloads/workflows/",),
    "workflows": ("workloads/workflows/", "workloads/model_endpoints/", "scheduling/kit/"),
}


def changed_files() -> list[str] | None:
    """Return the files that differ from the accepted commit; None if git does not know it."""
    if not ACCEPTED.exists():
        return None
    command = ["git", "diff", "--name-only", ACCEPTED.read_text(encoding="utf-8").strip(), "--"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return listed.stdout.splitlines() if listed.returncode == 0 else None


def concerned_tests(changed: list[str] | None) -> list[str]:
    """Return the acceptance test files that these changes concern, sorted; all of them for None."""
    tests = {f"{FOLDER}test_{name}.py": paths for name, paths in TOPICS.items()}
    if changed is None or any(_is_shared(name, tests) for name in changed):
        return sorted(tests)
    return sorted(test for test, paths in tests.items() if any(name.startswith((test, *paths)) for name in changed))


def is_core(test: str) -> bool:
    """Return whether all tests of a file have the mark `core`, by which `make test` runs them."""
    return _CORE.search((ROOT / test).read_text(encoding="utf-8")) is not None


def _is_shared(name: str, tests: dict[str, tuple[str, ...]]) -> bool:
    return name.startswith(SHARED) or (name.startswith(FOLDER) and name not in tests)


if __name__ == "__main__":
    sys.stdout.writelines(f"{test}\n" for test in concerned_tests(changed_files()) if not is_core(test))
