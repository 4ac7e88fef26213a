"""The benchmark of encryption: erasing a tenant's values by erasing its data keys, against deleting its rows."""

from __future__ import annotations

import base64
import io
import os
import secrets
import time
from itertools import batched
from pathlib import Path

from django.conf import settings
from django.test import override_settings

from benchmarks.harness.filling import clear_platform, create_tenants
from benchmarks.harness.parts import Benchmark, Finding, Part, at_most, shown
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.encryption.data_keys import KEPT_SECONDS, forget_keys
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.file_seal import opened_pieces, sealed_bytes
from tenants.models import Tenant, TenantDataKey

JOBS = int(os.environ.get("SEALED_JOBS", "20_000"))
FILE_BYTES = 32 * 1024 * 1024
BATCH = 500


def measure_erasure(folder: Path) -> list[Finding]:
    """Store the sealed payloads of ``SEALED_JOBS`` jobs for each of two tenants, and erase the keys of one."""
    clear_platform()
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with override_settings(JOBS_PLATFORM=settings.JOBS_PLATFORM | {"ENCRYPTION_MASTER_KEYS": [key]}):
        gone, left = create_tenants([1, 1])
        for tenant in (gone, left):
            for numbers in batched(range(JOBS), BATCH):
                submit_jobs(tenant=tenant, requests=[JobRequest("noop", {"text": f"{n:0200}"}) for n in numbers])
        before, _ = _opened(gone)
        file = sealed_bytes(os.urandom(FILE_BYTES), gone.pk, "file")
        began = time.perf_counter()
        with all_tenants():
            TenantDataKey.objects.filter(tenant=gone).delete()
        erasing = (time.perf_counter() - began) * 1_000
        forget_keys()
        after, seconds = _opened(gone)
        others, _ = _opened(left)
        files = _open_file(gone, file)
    return [
        at_most("erasing the data keys of a tenant", erasing, 1_000.0, ".1f ms", f"{before:,} sealed payloads"),
        at_most("payloads of the tenant that open afterwards", after, 0, ".0f", f"all were tried, in {seconds:.1f} s"),
        at_most("files of the tenant that open afterwards", files, 0, ".0f", "one of 32 MiB"),
        shown("payloads of another tenant that open afterwards", f"{others:,} of {JOBS:,}"),
        shown("until processes have dropped the keys from memory", f"≤ {KEPT_SECONDS:.0f} s", "not measured"),
    ]


def measure_files(folder: Path) -> list[Finding]:
    """Encrypt and decrypt a file of 32 MiB."""
    clear_platform()
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    data = os.urandom(FILE_BYTES)
    with override_settings(JOBS_PLATFORM=settings.JOBS_PLATFORM | {"ENCRYPTION_MASTER_KEYS": [key]}):
        (tenant,) = create_tenants([1])
        sealed_bytes(b"first", tenant.pk, "file")
        began = time.perf_counter()
        sealed = sealed_bytes(data, tenant.pk, "file")
        middle = time.perf_counter()
        _open_file(tenant, sealed)
        end = time.perf_counter()
    mib = FILE_BYTES / 2**20
    return [
        shown("sealing a file", f"{mib / (middle - began):,.0f} MiB/s"),
        shown("opening a file", f"{mib / (end - middle):,.0f} MiB/s"),
    ]


def _opened(tenant: Tenant) -> tuple[int, float]:
    """Return how many payloads of the tenant can be decrypted, and the seconds that it took to try all."""
    began, count = time.perf_counter(), 0
    with tenant_context(tenant):
        for job in Job.objects.only("tenant_id", "payload").iterator(chunk_size=BATCH):
            try:
                count += bool(job.payload)
            except DataKeyUnavailableError:
                continue
    return count, time.perf_counter() - began


def _open_file(tenant: Tenant, sealed: bytes) -> int:
    try:
        return sum(map(len, opened_pieces(io.BytesIO(sealed), tenant.pk, "file"))) and 1
    except DataKeyUnavailableError:
        return 0


BENCHMARK = Benchmark(
    name="sealing",
    title="Encryption",
    parts=(Part("erasure", 2.0, measure_erasure), Part("files", 0.2, measure_files)),
    method="Two tenants with 20,000 jobs each, whose payloads of 200 bytes are sealed. The data keys of one "
    "are deleted, and then every payload is tried in a process without cached keys.",
)
