"""From an entry of the audit log to its seal while jobs come in: by the database's clock, and as onlookers see it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from django.db import connection

from benchmarks.outcome import Outcome
from jobsplatform.demo.client import TenantClient
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.processes import Platform, running_platform
from jobsplatform.demo.provision import Participant, create_participants
from tenants.clock import read_clock
from tenants.context import all_tenants

SECONDS = 60.0
# Each submits a job as soon as the one before is taken, which is an entry; the jobs run meanwhile.
CLIENTS = 4
LOOK_SECONDS = 0.02
TARGET_MS = 1_000.0

# `at` is the time of the entry, before the commit of its act; `sealed_at` the begin of the sealer's transaction.
_AGES = """
SELECT extract(epoch FROM s.sealed_at - e.at) * 1000
FROM tenants_auditlogentry e JOIN tenants_auditseal s ON s.entry_id = e.id
WHERE e.tenant_id = ANY (%s) AND e.at >= %s
"""
_UNSEALED = "SELECT count(*) FROM tenants_auditlogentry e LEFT JOIN tenants_auditseal s ON s.entry_id = e.id"
_UNSEALED += " WHERE s.entry_id IS NULL AND e.tenant_id = ANY (%s)"
# What an onlooker sees: the age of the oldest committed entry that has no seal yet.
_OLDEST = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - e.at)) * 1000, 0)
FROM tenants_auditpending p JOIN tenants_auditlogentry e ON e.id = p.entry_id
"""


def measure(folder: Path) -> Outcome:
    """Let several clients submit for a minute, and compare each entry with its seal."""
    participants = create_participants()
    ids = [participant.tenant_id for participant in participants]
    with running_platform(folder / "sealing.log") as platform, ThreadPoolExecutor(CLIENTS + 1) as threads:
        # What was recorded before a dispatcher ran has waited for one.
        _wait_sealed(ids)
        with all_tenants():
            since = read_clock()
        is_over = threading.Event()
        oldest = threads.submit(_watch, is_over)
        counts = [threads.submit(_submit, platform, participants[number % 3], is_over) for number in range(CLIENTS)]
        time.sleep(SECONDS)
        is_over.set()
        submitted = sum(count.result() for count in counts)
        seen = oldest.result()
        left = _wait_sealed(ids)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_AGES, [ids, since])
        ages = [float(age) for (age,) in cursor.fetchall()]
    return _conclude(ages, seen, submitted=submitted, left=left)


def _submit(platform: Platform, participant: Participant, is_over: threading.Event) -> int:
    submitted = 0
    with TenantClient(platform.address, participant.token) as client:
        while not is_over.is_set():
            client.submit("noop", {})
            submitted += 1
    return submitted


def _watch(is_over: threading.Event) -> float:
    """The greatest age at which an entry was seen without its seal."""
    greatest = 0.0
    try:
        while not is_over.wait(LOOK_SECONDS):
            with all_tenants(), connection.cursor() as cursor:
                cursor.execute(_OLDEST)
                greatest = max(greatest, float(cursor.fetchone()[0]))
    finally:
        connection.close()
    return greatest


def _wait_sealed(ids: list[UUID]) -> int:
    """How many entries are left without a seal after ten times the target."""
    deadline = time.monotonic() + 10 * TARGET_MS / 1e3
    while (left := _count_unsealed(ids)) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return left


def _count_unsealed(ids: list[UUID]) -> int:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_UNSEALED, [ids])
        return int(cursor.fetchone()[0])


def _conclude(ages: list[float], seen: float, *, submitted: int, left: int) -> Outcome:
    greatest = max(*ages, seen)
    return Outcome(
        name="sealing",
        title="From an audit entry to its seal",
        rows=[
            ["milliseconds", "p50", "p95", "max"],
            [
                "entry to the sealer's transaction",
                *(f"{percentile(ages, p):.0f}" for p in (0.5, 0.95)),
                f"{max(ages):.0f}",
            ],
            ["oldest entry seen without a seal", "", "", f"{seen:.0f}"],
        ],
        target=f"every entry sealed within {TARGET_MS:.0f} ms",
        is_met=greatest <= TARGET_MS and not left,
        method=(
            f"{submitted:,} `noop` jobs submitted one by one by {CLIENTS} clients of three tenants in {SECONDS:.0f} s,"
            f" while web, dispatcher, worker and beat run as in production; {len(ages):,} entries, {left} left without"
            " a seal. By the database's clock from the time that an entry bears, which is the begin of its act, to the"
            " begin of the transaction that seals it. What that transaction takes is in the second row, for which the"
            f" queue of unsealed entries was looked at each {LOOK_SECONDS * 1e3:.0f} ms."
        ),
    )
