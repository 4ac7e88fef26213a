"""An evidence pack of a running platform, made by the command and verified by the shipped script alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from jobsplatform.settings.env import BASE_DIR
from tenants.audit.signing import public_key_text
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.models import AuditLogEntry, AuditSeal, Tenant
from tenants.tenancy.service import pause_tenant, resume_tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually

VERIFIER = BASE_DIR / "scheduling" / "evidence" / "verify_evidence.py"


def read[T](question: Callable[[], T]) -> T:
    """Return the answer over all tenants."""
    with all_tenants():
        return question()


def test_pack_of_a_running_platform_verifies_without_it(platform: Platform, acme: Tenant, tmp_path: Path) -> None:
    since = read(read_moment)
    pause_tenant(tenant=acme, reason="a trial")
    resume_tenant(tenant=acme)
    waiting = {"seal__isnull": True, "tenant_id": acme.pk}
    eventually(
        lambda: not read(lambda: AuditLogEntry.objects.filter(**waiting).exists()), what="all entries are sealed"
    )
    until = read(lambda: AuditSeal.objects.filter(chain=acme.pk).latest("sealed_at").sealed_at) + timedelta(
        seconds=0.001
    )
    eventually(lambda: read(read_moment) > until + timedelta(seconds=10), what="the period has ended")

    pack = tmp_path / "pack"
    period = ["--template=gdpr", f"--from={since.isoformat()}", f"--to={until.isoformat()}", f"--tenant={acme.slug}"]
    process = platform.start("compliance_report", *period, f"--output={pack}", "--json")
    eventually(lambda: not process.is_running, within=START_SECONDS, what="compliance_report")
    assert process.status == 0, process.log

    facts = json.loads(process.log.splitlines()[-1])
    assert (facts["chains"], facts["faults"]) == (1, 0)
    entries = [json.loads(line)["entry"] for line in (pack / "audit_log.jsonl").read_text().splitlines()]
    assert [entry["action"] for entry in entries[-2:]] == ["tenant.paused", "tenant.resumed"]
    command = [sys.executable, "-I", str(VERIFIER), str(pack), public_key_text()]
    assert subprocess.run(command, cwd="/", check=False).returncode == 0
    with (pack / "audit_log.jsonl").open("ab") as file:
        file.write(b"\n")
    assert subprocess.run(command, cwd="/", check=False, capture_output=True).returncode == 1
