"""The benchmark of evidence: a pack of a million audit entries, its verification, and a review of 1,000 users."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.filling import add_tenants, analyse, clear_platform, run_statement
from benchmarks.harness.parts import Benchmark, Finding, MeasureFailedError, Part, at_most, shown
from jobsplatform.demo.processes import ROOT
from tenants.audit.auditor import auditor_login
from tenants.audit.heads import sign_heads
from tenants.audit.sealing import seal_entries
from tenants.audit.signing import public_key_text
from tenants.context import all_tenants
from tenants.database.clock import read_moment

ENTRIES = int(os.environ.get("EVIDENCE_ENTRIES", "1_000_000"))
USERS, TENANTS, SLICE = 1_000, 20, 100_000
MOST_SECONDS, MOST_REVIEW_SECONDS = 60.0, 5.0
SEALING_SECONDS = 3_600.0
# Younger periods are refused.
SETTLED_SECONDS = 10.0
# One entry in five is in a section of its own beside the log.
_FILL = """
INSERT INTO tenants_auditlogentry (id, tenant_id, at, actor_kind, actor_id, actor_label, action, target_type, target_id,
    before, after, reason, request_id)
SELECT uuidv7(), (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])], now(), 'user', (n %% 1000)::text,
    'user-' || n %% 1000, (ARRAY['job.submitted', 'job.cancelled', 'job.retried', 'job.suspended', 'queue.paused'])
    [1 + n %% 5], 'scheduling.job', gen_random_uuid()::text, jsonb_build_object('state', 'available', 'number', n),
    jsonb_build_object('state', 'cancelled', 'number', n, 'tags', ARRAY['a', 'b']), 'reason ' || n, md5(n::text)
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""
_USERS = """
WITH made AS (
    INSERT INTO auth_user (username, password, first_name, last_name, email, is_active, is_staff, is_superuser,
        date_joined, last_login)
    SELECT 'reviewed-' || n || '-' || %(run)s, '', '', '', '', true, false, false, now(), now()
    FROM generate_series(1, %(users)s::int) AS n RETURNING id
)
INSERT INTO tenants_membership (id, tenant_id, user_id, role)
SELECT uuidv7(), (%(tenants)s::uuid[])[1 + id %% cardinality(%(tenants)s::uuid[])], id, 'developer' FROM made
"""


def measure_evidence(folder: Path) -> list[Finding]:
    """Seal ``EVIDENCE_ENTRIES`` entries of 20 tenants, and pack them twice by the command that operators use."""
    clear_platform()
    tenants = add_tenants(TENANTS)
    run_statement(_USERS, {"tenants": tenants, "users": USERS, "run": str(tenants[0])[-6:]})
    with all_tenants():
        since = read_moment()
    for first in range(1, ENTRIES + 1, SLICE):
        run_statement(_FILL, {"tenants": tenants, "first": first, "last": min(first + SLICE - 1, ENTRIES)})
    with auditor_login():
        seal_entries(budget_seconds=SEALING_SECONDS)
        sign_heads()
    with all_tenants():
        until = read_moment()
    analyse()
    time.sleep(SETTLED_SECONDS)
    period = ("--template=soc2", f"--from={since.isoformat()}", f"--to={until.isoformat()}")
    packs = [folder / "first", folder / "second"]
    (took, facts), (again, _) = (_manage("compliance_report", *period, f"--output={pack}") for pack in packs)
    if _hash(packs[0]) != _hash(packs[1]):
        raise MeasureFailedError("The packs differ.")
    began = time.monotonic()
    script = str(ROOT / "scheduling" / "evidence" / "verify_evidence.py")
    verified = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, script, str(packs[0]), public_key_text()], capture_output=True, text=True, check=False
    )
    verification = time.monotonic() - began
    if verified.returncode:
        raise MeasureFailedError(verified.stderr[-1_000:])
    reviewed, rights = _manage("access_review")
    size = sum(path.stat().st_size for path in packs[0].iterdir()) / 2**20
    entries = f"{facts['rows']['audit_log']:,} entries, {size:,.0f} MiB, {facts['faults']} faults"
    return [
        at_most("pack of a million audit entries", took, MOST_SECONDS, ".1f s", entries),
        shown("the same pack again", f"{again:.1f} s", "the same bytes"),
        shown("verification without the platform", f"{verification:.1f} s", "verify_evidence.py"),
        at_most("access review", reviewed, MOST_REVIEW_SECONDS, ".1f s", f"{len(rights):,} rights, with the start"),
    ]


def _hash(pack: Path) -> str:
    return hashlib.sha256((pack / "manifest.json").read_bytes()).hexdigest()


def _manage(*arguments: str) -> tuple[float, Any]:
    """Return the seconds that a command took, and the JSON that it printed; raise MeasureFailedError if it fails."""
    began = time.monotonic()
    command = [sys.executable, "manage.py", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise MeasureFailedError(f"{arguments[0]}: {done.stderr[-1_000:]}")
    return time.monotonic() - began, json.loads(done.stdout)


BENCHMARK = Benchmark(
    name="evidence",
    title="Evidence",
    parts=(Part("evidence", 8.0, measure_evidence),),
    method="A million audit entries of 20 tenants, sealed by the auditor, and 1,000 members. The commands run one "
    "after another, each with the start of its process.",
)
