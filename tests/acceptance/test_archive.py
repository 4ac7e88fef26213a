"""Ended jobs are archived in object storage by a process that is killed while it writes, and by the next one."""

from __future__ import annotations

import json
import socket

import boto3
import pytest
from moto.server import ThreadedMotoServer

from scheduling.models import ArchiveObject, Job, UpkeepRun
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually
from tests.integration.scheduling.upkeep.test_retention import old_job

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def unfinished(tenant: Tenant) -> bool:
    with all_tenants():
        return ArchiveObject.objects.filter(tenant=tenant, stored_at=None).exists()


def test_killed_upkeep_leaves_the_jobs_and_the_next_one_archives_each_once(
    platform: Platform, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {old_job(acme, "completed", days=300).pk for _ in range(5)}
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    values = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**values, **dict.fromkeys(KEYS, "of-the-test")}.items():
        monkeypatch.setenv(name, value)
    environment = {"ARCHIVE": "s3://archive/jobs", **values, **dict.fromkeys(KEYS, "of-the-test")}

    process = platform.start("run_upkeep", "finished_jobs", **environment)
    eventually(lambda: unfinished(acme), within=START_SECONDS, what="an object is begun")
    process.kill()
    silent.close()
    with all_tenants():
        assert Job.objects.filter(pk__in=jobs).count() == len(jobs)
        UpkeepRun.objects.filter(name="finished_jobs", outcome="running").update(lease_expires_at=read_clock())

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        boto3.client("s3").create_bucket(Bucket="archive")
        platform.run("run_upkeep", "finished_jobs", **environment)
        with all_tenants():
            assert not Job.objects.filter(pk__in=jobs).exists()
            (entry,) = ArchiveObject.objects.filter(tenant=acme).exclude(stored_at=None)
        assert sorted(entry.job_ids) == sorted(jobs)
        facts = json.loads(
            platform.run("restore_archive", "--object", str(entry.pk), "--json", **environment).splitlines()[-1]
        )
        assert set(facts["jobs"]) == set(map(str, jobs))
        with all_tenants():
            assert Job.objects.filter(pk__in=jobs).count() == len(jobs)
            ArchiveObject.objects.filter(tenant=acme).delete()
    finally:
        server.stop()
