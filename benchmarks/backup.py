"""The benchmark of backups: a backup, a drill, and the restore of one tenant, by the commands that operators use."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.filling import add_past, add_past_days, analyse, clear_platform, create_tenants
from benchmarks.harness.parts import Benchmark, Finding, MeasureFailedError, Part, at_most, shown
from jobsplatform.demo.processes import ROOT
from tenants.audit.auditor import auditor_login
from tenants.audit.heads import sign_heads
from tenants.audit.sealing import seal_entries
from tenants.context import all_tenants
from tenants.tenancy.service import suspend_tenant

JOBS = int(os.environ.get("BACKUP_JOBS", "250_000"))
TENANTS = 20
# The checks compare rollups, which these rows do not have, with the history of the last hours.
RECENT_SECONDS = 18_000
# Seconds per million rows.
MOST_SECONDS = 60.0


def measure_backups(folder: Path) -> list[Finding]:
    """Back up the past of ``BACKUP_JOBS`` jobs, drill the backup, and restore one tenant from it."""
    clear_platform()
    add_past_days()
    tenants = create_tenants([1] * TENANTS)
    add_past([tenant.pk for tenant in tenants], JOBS, payload={"text": "x" * 200}, days=6, age=RECENT_SECONDS)
    analyse()
    with auditor_login():
        seal_entries()
        sign_heads()
    target = folder / "backups"
    environment = {"ENCRYPTION_MASTER_KEYS": base64.b64encode(secrets.token_bytes(32)).decode()}
    took, made = _run(environment, "backup", f"--to={target}")
    millions = made["rows"] / 1e6
    size = f"{made['rows']:,} rows, {made['bytes'] / 2**20:,.0f} MiB stored"
    _, drill = _run(environment, "drill", f"--from={target}")
    with all_tenants():
        suspend_tenant(tenant=tenants[0], reason="restore")
    arguments = (tenants[0].slug, "--at=2999-01-01T00:00:00Z", f"--from={target}")
    restored, _ = _run(environment, "restore_tenant", *arguments)
    return [
        at_most("backup, by a million rows", took / millions, MOST_SECONDS, ".1f s", size),
        at_most(
            "drill with checks and canary (RTO), by a million rows", drill["rto_seconds"] / millions, MOST_SECONDS,
            ".1f s", f"{drill['rto_seconds']:.1f} s in all, {len(drill['faults'])} faults",
        ),
        shown("age of the backup at the drill (RPO)", f"{drill['rpo_seconds']:.1f} s", "plans: 24 h at most"),
        shown("restore of one of 20 tenants", f"{restored:.1f} s", "the whole backup is restored beside"),
    ]  # fmt: skip


def _run(environment: dict[str, str], *arguments: str) -> tuple[float, Any]:
    """Return the seconds that a command took, and the JSON that it printed; raise MeasureFailedError if it fails."""
    began = time.monotonic()
    command = [sys.executable, "manage.py", *arguments, "--json"]
    done = subprocess.run(  # noqa: S603 - our own command
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MeasureFailedError(f"{arguments[0]}: {done.stdout[-1_000:]} {done.stderr[-1_000:]}")
    return time.monotonic() - began, json.loads(done.stdout)


BENCHMARK = Benchmark(
    name="backup",
    title="Backups",
    parts=(Part("backup", 3.0, measure_backups),),
    method="The past of 250,000 jobs of 20 tenants, about two million rows. The commands run one after another, with "
    "nothing beside them.",
)
