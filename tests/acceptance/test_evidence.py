"""An evidence pack of a running platform, made by the command and verified by the shipped script alone."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from jobsplatform.settings.env import BASE_DIR
from scheduling.evidence.service import PACKS
from scheduling.models import EvidencePack
from tenants.audit.signing import public_key_text
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_moment
from tenants.models import AuditLogEntry, AuditSeal, Tenant
from tenants.tenancy.service import pause_tenant, resume_tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually
from tests.platform_settings import ChangePlatformSettings

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
    log = platform.run("compliance_report", *period, f"--output={pack}", "--json")

    facts = json.loads(log.splitlines()[-1])
    assert (facts["chains"], facts["faults"]) == (1, 0)
    entries = [json.loads(line)["entry"] for line in (pack / "audit_log.jsonl").read_text().splitlines()]
    assert [entry["action"] for entry in entries[-2:]] == ["tenant.paused", "tenant.resumed"]
    command = [sys.executable, "-I", str(VERIFIER), str(pack), public_key_text()]
    assert subprocess.run(command, cwd="/", check=False).returncode == 0
    with (pack / "audit_log.jsonl").open("ab") as file:
        file.write(b"\n")
    assert subprocess.run(command, cwd="/", check=False, capture_output=True).returncode == 1


def test_requested_pack_is_made_by_upkeep_and_verifies_without_the_platform(
    platform: Platform, acme: Tenant, tmp_path: Path, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ARCHIVE=str(tmp_path))
    since = read(read_moment)
    pause_tenant(tenant=acme, reason="a trial")
    waiting = {"seal__isnull": True, "tenant_id": acme.pk}
    eventually(
        lambda: not read(lambda: AuditLogEntry.objects.filter(**waiting).exists()), what="all entries are sealed"
    )
    until = read(read_moment)
    eventually(lambda: read(read_moment) > until + timedelta(seconds=10), what="the period has ended")
    with tenant_context(acme):
        pack = PACKS.save(EvidencePack(), {"template": "deletion", "since": since, "until": until})

    log = platform.run("run_upkeep", "evidence_packs", ARCHIVE=str(tmp_path))
    made = read(lambda: EvidencePack.objects.get(pk=pack.pk))
    assert (made.state, made.faults) == ("stored", 0), log
    zipfile.ZipFile(tmp_path / made.key).extractall(tmp_path / "pack")
    command = [sys.executable, "-I", str(VERIFIER), str(tmp_path / "pack"), public_key_text()]
    assert subprocess.run(command, cwd="/", check=False).returncode == 0
    resume_tenant(tenant=acme)
    with tenant_context(acme):
        PACKS.delete(made)
    assert not (tmp_path / made.key).exists()
