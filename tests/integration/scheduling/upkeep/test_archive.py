"""The archive: ended jobs are stored before retention deletes them, read by id, and restored."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from moto.server import ThreadedMotoServer
from rest_framework.test import APIClient

from scheduling.archive import service, store
from scheduling.archive.exceptions import ArchiveDamagedError, ArchiveUnavailableError, NotArchivedError
from scheduling.archive.service import find_object, read_lines
from scheduling.models import ArchiveObject, Batch, DeadLetter, Job, JobEvent, JobLog, JobMeta
from scheduling.upkeep.retention import jobs as job_retention
from scheduling.upkeep.runs import run_upkeep
from tenants.access.people import grant_platform_role
from tenants.context import all_tenants, tenant_context
from tenants.erasure.erasers import count_outside
from tenants.models import AuditLogEntry, Tenant
from tests.aws_server import used_aws_server
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import Start, Tick, complete, submit
from tests.integration.scheduling.upkeep.test_retention import jobs_left, old_id, old_job, rows_of
from tests.integration.tenants.erasure.test_erasure import asked, run_to_the_end
from tests.keys import issue_api_key
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)


class KilledError(BaseException):
    """The process dies here."""


@pytest.fixture
def folder(tmp_path: Path, change_platform_settings: ChangePlatformSettings) -> Path:
    change_platform_settings(ARCHIVE=str(tmp_path))
    return tmp_path


@pytest.fixture
def s3(
    monkeypatch: pytest.MonkeyPatch, change_platform_settings: ChangePlatformSettings
) -> Iterator[ThreadedMotoServer]:
    """Set an archive in a bucket of an S3 server on loopback."""
    with used_aws_server(monkeypatch) as server:
        boto3.client("s3").create_bucket(Bucket="archive")
        change_platform_settings(ARCHIVE="s3://archive/jobs")
        yield server


def objects() -> list[ArchiveObject]:
    with all_tenants():
        return list(ArchiveObject.objects.exclude(stored_at=None).order_by("pk"))


def ended_job(tenant: Tenant, tick: Tick, start: Start) -> Job:
    """Return a job that ran and ended long ago, with a line of its log and a member of its meta."""
    (job,) = submit(tenant, 1)
    tick()
    complete(start, job)
    moved = old_id(100)
    with all_tenants(), connection.cursor() as cursor:
        JobLog.objects.create(
            tenant=tenant, job_id=job.pk, execution_id=job.pk, attempt=1, level=20, message="é", at=timezone.now()
        )
        for table in ("jobevent", "joblog", "execution", "charge"):
            cursor.execute(f"UPDATE scheduling_{table} SET job_id = %s WHERE job_id = %s", [moved, job.pk])
        cursor.execute(
            "UPDATE scheduling_job SET id = %s, finished_at = now() - interval '100 days' WHERE id = %s",
            [moved, job.pk],
        )
        JobMeta.objects.create(tenant=tenant, job_id=moved, name="order", value="4711")
        return Job.objects.get(pk=moved)


def row_of(model: Any, pk: Any) -> dict[str, Any]:
    with all_tenants():
        return dict(model.objects.filter(pk=pk).values().get())


def test_ended_jobs_are_stored_by_tenant_and_then_deleted(acme: Tenant, globex: Tenant, folder: Path) -> None:
    jobs = {tenant.pk: {old_job(tenant, "completed", days=300 - n).pk for n in range(3)} for tenant in (acme, globex)}
    dead = old_job(acme, "discarded", days=300)
    for name in ("finished_jobs", "failed_jobs"):
        run = run_upkeep(name=name, batch_rows=2)
        assert (run.outcome, run.counts["jobs"]) == ("ok", run.counts["archived_jobs"])
    assert jobs_left() == set()
    found: dict[UUID, set[UUID]] = {}
    for entry in objects():
        data = (folder / entry.key).read_bytes()
        lines = gzip.decompress(data).splitlines()
        assert (len(data), len(lines)) == (entry.size_bytes, entry.job_count)
        found.setdefault(entry.tenant_id, set()).update(UUID(json.loads(line)["id"]) for line in lines)
    assert found == {acme.pk: jobs[acme.pk] | {dead.pk}, globex.pk: jobs[globex.pk]}
    assert len(objects()) == 5
    assert run_upkeep(name="finished_jobs").counts["jobs"] == 0


def test_job_restored_from_s3_equals_the_deleted_one(
    acme: Tenant, tick: Tick, start: Start, s3: ThreadedMotoServer
) -> None:
    job = ended_job(acme, tick, start)
    before, events, ledger = row_of(Job, job.pk), rows_of(JobEvent), faults_of("ledger")
    run_upkeep(name="finished_jobs")
    (entry,) = objects()
    assert (jobs_left(), rows_of(JobLog), rows_of(JobMeta)) == (set(), 0, 0)
    with tenant_context(acme):
        (line,) = read_lines(find_object(job.pk), [job.pk])
    rows = line["rows"]
    assert len(rows["scheduling_jobevent"]) == events
    assert (rows["scheduling_joblog"][0]["message"], len(rows["scheduling_execution"])) == ("é", 1)
    output = io.StringIO()
    call_command("restore_archive", "--job", str(job.pk), "--dry-run", "--json", stdout=output)
    assert (json.loads(output.getvalue())["jobs"], jobs_left()) == ([str(job.pk)], set())
    call_command("restore_archive", "--job", str(job.pk), "--reason", "asked for")
    assert row_of(Job, job.pk) == before
    assert (rows_of(JobEvent), rows_of(JobLog), rows_of(JobMeta)) == (events, 1, 1)
    assert faults_of("ledger") == ledger
    with all_tenants():
        assert AuditLogEntry.objects.get(action="archive.restored").after["jobs"] == 1
    # It is kept for its time, then archived again.
    assert run_upkeep(name="finished_jobs").counts["jobs"] == 0
    with all_tenants():
        ArchiveObject.objects.filter(pk=entry.pk).update(restored_until=timezone.now())
    assert run_upkeep(name="finished_jobs").counts["archived_jobs"] == 1
    with all_tenants():
        assert find_object(job.pk).pk == objects()[1].pk


def test_absent_s3_server_loses_nothing(acme: Tenant, s3: ThreadedMotoServer) -> None:
    gone = old_job(acme, "completed", days=300)
    run_upkeep(name="finished_jobs")
    client = APIClient(HTTP_AUTHORIZATION=f"Api-Key {issue_api_key(tenant=acme, name='x').token}")
    assert client.get(f"/api/v1/jobs/{gone.pk}/archived/").json()["job"]["id"] == str(gone.pk)
    kept = old_job(acme, "completed", days=300)
    s3.stop()
    run = run_upkeep(name="finished_jobs")
    assert (run.outcome, jobs_left()) == ("failed", {kept.pk})
    assert "ArchiveUnavailableError: The archive s3://archive/jobs is away" in run.error
    answer = client.get(f"/api/v1/jobs/{gone.pk}/archived/")
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (
        503,
        "archive_unavailable",
        "60",
    )
    with pytest.raises(CommandError, match="archive_unavailable"):
        call_command("restore_archive", "--job", str(gone.pk))
    with all_tenants(), pytest.raises(ArchiveUnavailableError):
        count_outside(acme.pk)


def test_folder_that_is_not_mounted_is_not_created(
    acme: Tenant, tmp_path: Path, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ARCHIVE=str(tmp_path / "away"))
    job = old_job(acme, "completed", days=300)
    assert run_upkeep(name="finished_jobs").outcome == "failed"
    assert (jobs_left(), (tmp_path / "away").exists()) == ({job.pk}, False)


@pytest.mark.parametrize("after_write", [False, True])
def test_killed_upkeep_loses_nothing_and_stores_nothing_twice(
    acme: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch, after_write: bool
) -> None:
    jobs = {old_job(acme, "completed", days=300).pk for _ in range(3)}

    def die(*args: Any, **kwargs: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        if after_write:
            patch.setattr(job_retention, "_delete", die)
        else:
            patch.setattr(store, "put", die)
        with pytest.raises(KilledError):
            run_upkeep(name="finished_jobs")
    assert (jobs_left(), objects()) == (jobs, [])
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_upkeep_run SET lease_expires_at = now() - interval '1 second'")
    run_upkeep(name="finished_jobs")
    (entry,) = objects()
    assert (jobs_left(), set(entry.job_ids)) == (set(), jobs)
    assert len(list(folder.rglob("*.gz"))) == 1 + after_write
    with all_tenants():
        ArchiveObject.objects.update(begun_at=timezone.now() - timedelta(hours=2))
    run_upkeep(name="finished_jobs")
    assert [path.name for path in folder.rglob("*.gz")] == [f"{entry.pk}.jsonl.gz"]
    assert rows_of(ArchiveObject) == 1


def test_object_ends_at_its_size_and_the_rest_follows(
    acme: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_OBJECT_BYTES", 1)
    monkeypatch.setattr(service, "_JOBS_AT_ONCE", 2)
    jobs = {old_job(acme, "completed", days=300).pk for _ in range(5)}
    assert run_upkeep(name="finished_jobs").counts["jobs"] == 5
    assert [entry.job_count for entry in objects()] == [2, 2, 1]
    assert {job_id for entry in objects() for job_id in entry.job_ids} == jobs


def test_changed_or_missing_object_is_refused(acme: Tenant, folder: Path) -> None:
    job = old_job(acme, "completed", days=300)
    run_upkeep(name="finished_jobs")
    (entry,) = objects()
    path = folder / entry.key
    whole = path.read_bytes()
    for data in (whole[:-9], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], whole + b"x"):
        path.write_bytes(data)
        with pytest.raises(ArchiveDamagedError):
            read_lines(entry, [job.pk])
    path.unlink()
    with pytest.raises(ArchiveDamagedError):
        read_lines(entry, [job.pk])
    with pytest.raises(CommandError, match="archive_damaged"):
        call_command("restore_archive", "--object", str(entry.pk))


def test_restored_object_skips_existing_jobs_and_lost_batches(acme: Tenant, folder: Path) -> None:
    with all_tenants():
        lost, kept = (Batch.objects.create(tenant=acme, label=label, total=1) for label in ("lost", "kept"))
    jobs = [old_job(acme, "completed", days=300, batch=batch) for batch in (lost, kept, None)]
    letter = old_job(acme, "discarded", days=300)
    run_upkeep(name="finished_jobs")
    run_upkeep(name="failed_jobs")
    with all_tenants():
        Batch.objects.filter(pk=lost.pk).delete()
    first, failed = objects()
    call_command("restore_archive", "--job", str(jobs[2].pk))
    output = io.StringIO()
    call_command("restore_archive", "--object", str(first.pk), "--json", stdout=output)
    assert json.loads(output.getvalue())["jobs"] == [str(job.pk) for job in jobs[:2]]
    call_command("restore_archive", "--object", str(failed.pk))
    assert jobs_left() == {job.pk for job in (*jobs, letter)}
    with all_tenants():
        assert [row_of(Job, job.pk)["batch_id"] for job in jobs] == [None, kept.pk, None]
        assert Batch.objects.get().pruned == 0
        assert DeadLetter.objects.get().job_id == letter.pk


def test_archived_job_answers_by_id_to_its_tenant_only(acme: Tenant, globex: Tenant, folder: Path) -> None:
    job = old_job(acme, "completed", days=300)
    run_upkeep(name="finished_jobs")
    own, other = (
        APIClient(HTTP_AUTHORIZATION=f"Api-Key {issue_api_key(tenant=tenant, name='x').token}")
        for tenant in (acme, globex)
    )
    assert own.get(f"/api/v1/jobs/{job.pk}/").json()["code"] == "job_archived"
    shown = own.get(f"/api/v1/jobs/{job.pk}/archived/").json()
    assert (shown["job"]["state"], shown["object"]) == ("completed", str(objects()[0].pk))
    assert "payload" not in json.dumps(shown)
    for path in (f"jobs/{job.pk}/", f"jobs/{job.pk}/archived/"):
        answer = other.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    with tenant_context(globex), pytest.raises(NotArchivedError):
        find_object(job.pk)


def test_console_finds_the_archived_job_by_its_id(acme: Tenant, folder: Path, client: Client) -> None:
    job, other = old_job(acme, "completed", days=300), old_job(acme, "cancelled", days=300)
    run_upkeep(name="finished_jobs")
    user = User.objects.create_user("stella")
    grant_platform_role(user=user, role="auditor")
    client.force_login(user)
    url = reverse("admin:scheduling_archiveobject_changelist")
    page = client.get(f"{url}?q={job.pk}").content.decode()
    assert (str(job.pk) in page, "&quot;completed&quot;" in page, str(other.pk) in page) == (True, True, False)
    assert "&quot;completed&quot;" not in client.get(f"{url}?q={acme.pk}").content.decode()
    folder.joinpath(objects()[0].key).unlink()
    assert "missing or was changed" in client.get(f"{url}?q={job.pk}").content.decode()


def test_erasure_deletes_the_archive_of_the_tenant(
    acme: Tenant, globex: Tenant, folder: Path, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ERASURE_GRACE_SECONDS=0)
    for tenant in (acme, globex):
        old_job(tenant, "completed", days=300)
    run_upkeep(name="finished_jobs")
    erasure = run_to_the_end(asked(acme))
    assert erasure.status == "completed", erasure.note
    assert erasure.proof["counts"]["scheduling:archived_objects"] == {"before": 1, "removed": 1, "after": 0}
    assert [path.parts[-3] for path in folder.rglob("*.gz")] == [str(globex.pk)]
