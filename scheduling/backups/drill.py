"""Drill: restore a backup into a scratch database, check it, and record how much would be lost and how long it took."""

from __future__ import annotations

import time
from typing import Final

from scheduling.backups.canary import run_canary
from scheduling.backups.manifest import Manifest
from scheduling.backups.models import Backup
from scheduling.backups.plans import record_backup
from scheduling.backups.restore import platform_database, scratch_database
from scheduling.backups.service import AUDIT_TARGET
from scheduling.backups.target import Target
from scheduling.consistency.registry import state_checks
from scheduling.consistency.verification import verify
from scheduling.jobs.lifecycle import JobState
from tenants.audit.service import AuditTarget, record_audit
from tenants.audit.verification import GRACE_SECONDS
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.encryption.data_keys import forget_keys

# They read the platform's own storage and broker, which do not belong to the scratch database.
_LEFT_OUT: Final = frozenset({"storage", "erasures"})
# They mean that no dispatcher has run, and none runs in the scratch database.
_AWAITED: Final = frozenset({"lease_long_past", "batch_unended"})
_MAX_FAULTS: Final = 20


def run_drill(target: Target, *, name: str = "") -> tuple[Backup, list[str]]:
    """Verify a backup, by default the newest: restore it, run the consistency checks, compare its audit chains.

    Return its row and the checks that ran. Faults of the rows are recorded; raise the errors of a restore
    for a backup that cannot be restored.
    """
    began = time.monotonic()
    manifest = target.read_manifest(name) if name else target.newest()
    with scratch_database(target, manifest) as scratch:
        checks, faults = _check(manifest, scratch)
    seconds = time.monotonic() - began
    row = record_backup(target, manifest)
    with all_tenants():
        now = read_clock()
        row.verified_at, row.restore_seconds, row.faults = now, seconds, faults
        row.loss_seconds = (now - manifest.taken_at).total_seconds() - seconds
        row.save(update_fields=["verified_at", "restore_seconds", "loss_seconds", "faults"])
        facts = {"rpo_seconds": round(row.loss_seconds, 1), "rto_seconds": round(seconds, 1), "faults": len(faults)}
        record_audit(action="backup.verified", target=AuditTarget(AUDIT_TARGET, manifest.name), after=facts)
    return row, checks


def _check(manifest: Manifest, scratch: str) -> tuple[list[str], list[str]]:
    """Return the checks that ran in the scratch database, and the faults found."""
    names = [check.name for check in state_checks() if check.name not in _LEFT_OUT]
    with platform_database(scratch):
        with all_tenants():
            age = (read_clock() - manifest.taken_at).total_seconds()
        forget_keys()
        # No auditor has sealed the newest entries since.
        report = verify(names, options={"heads": manifest.heads, "grace_seconds": age + GRACE_SECONDS})
        state = run_canary()
    forget_keys()
    faults = [str(finding) for finding in report.findings.values() if finding.kind.code not in _AWAITED]
    if state != JobState.COMPLETED:
        faults.insert(0, f"canary: the job ended as {state}")
    return [*report.checks, "canary"], faults[:_MAX_FAULTS]
