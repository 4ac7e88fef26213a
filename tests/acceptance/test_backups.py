"""A backup that a worker makes by plan while jobs run, verified by a drill and restored by commands."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from uuid import uuid4

from scheduling.backups.models import Backup, BackupPlan
from scheduling.backups.plans import BACKUP_PLANS
from scheduling.backups.restore import drop_database, platform_database
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.conftest import Platform

KEYS = {"ENCRYPTION_MASTER_KEYS": base64.b64encode(b"k" * 32).decode()}


def test_planned_backup_of_a_running_platform_is_verified_and_restored(
    platform: Platform, acme: Tenant, tmp_path: Path
) -> None:
    target, into = tmp_path / "backups", f"restored_{uuid4().hex[:8]}"
    plan = BACKUP_PLANS.save(BackupPlan(), {"name": f"of {acme.slug}", "target": str(target)})
    request = JobRequest("sleep", {"seconds": 0.2})
    jobs = [submit_job(tenant=acme, request=request).job.pk for _ in range(20)]

    platform.run("run_upkeep", "due_backups", **KEYS)

    with all_tenants():
        backup = Backup.objects.get(plan=plan)
        plan.delete()
    assert backup.error == ""
    facts = json.loads(platform.run("drill", "--from", str(target), "--json", **KEYS).splitlines()[-1])
    assert (facts["name"], facts["faults"]) == (backup.name, [])
    try:
        platform.run("restore", "--from", str(target), "--into", into, "--files", str(tmp_path / "files"), **KEYS)
        with platform_database(into), all_tenants():
            assert set(Job.objects.filter(tenant=acme).values_list("pk", flat=True)) == set(jobs)
    finally:
        drop_database(into)
