"""Files that a job attaches: stored under its fence and its tenant's limit, downloaded with rights, deleted with it."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.kit.base import AsyncJobContext, JobContext
from scheduling.models import Job
from scheduling.upkeep.registry import UpkeepBudget
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.limits.service import set_tenant_limit
from tenants.models import AuditLogEntry, Role, Tenant
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Run, value_of
from tests.person import client_of
from workloads.files import artifacts, upkeep
from workloads.files.limits import STORAGE_BYTES
from workloads.files.models import Artifact, Content

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


def attaching(*args: Any) -> Callable[[Any], object]:
    """Return a script that attaches one file."""

    async def process(context: JobContext | AsyncJobContext) -> None:
        await value_of(context.attach(*args))

    return process


def run_with(run: Run, set_processor: Follow, job: Job, *args: Any) -> Job:
    set_processor(attaching(*args))
    return run(job)


def names_of(job: Job) -> list[str]:
    with tenant_context(job.tenant_id):
        return [each.name for each in artifacts.artifacts_of(job.pk)]


@pytest.mark.parametrize("file", [b"a,b\n1,2\n", io.BytesIO(b"a,b\n1,2\n")])
def test_artifact_is_listed_and_downloaded(
    acme: Tenant, run: Run, set_processor: Follow, kind: str, file: Any, api_client: Callable[..., APIClient]
) -> None:
    (job,) = submit(acme, kind=kind)
    assert run_with(run, set_processor, job, "numbers.csv", file, "text/csv").state == "completed"
    client = api_client(acme)
    (listed,) = client.get(f"/api/v1/jobs/{job.pk}/artifacts/").json()["results"]
    assert (listed["name"], listed["content_type"], listed["size_bytes"]) == ("numbers.csv", "text/csv", 8)
    found = client.get(f"/api/v1/jobs/{job.pk}/artifacts/{listed['id']}/")
    assert found.status_code == 302
    file_answer = APIClient().get(found["Location"])
    assert b"".join(file_answer.streaming_content) == b"a,b\n1,2\n"
    assert (file_answer["Content-Type"], file_answer["X-Content-Type-Options"]) == ("text/csv", "nosniff")
    assert "attachment" in file_answer["Content-Disposition"]
    with all_tenants():
        assert AuditLogEntry.objects.get(action="file.link_made").target_id == listed["id"]
    assert faults_of("file_references", "unused_contents", "storage") == []


def test_artifacts_of_another_job_and_tenant_are_not_found(
    acme: Tenant, globex: Tenant, run: Run, set_processor: Follow, api_client: Callable[..., APIClient]
) -> None:
    job, other = submit(acme, 2, kind="scripted")
    run_with(run, set_processor, job, "a.txt", b"one")
    with tenant_context(acme):
        (artifact,) = artifacts.artifacts_of(job.pk)
    mine = api_client(acme)
    assert mine.get(f"/api/v1/jobs/{other.pk}/artifacts/{artifact.id}/").status_code == 404
    theirs = api_client(globex)
    assert theirs.get(f"/api/v1/jobs/{job.pk}/artifacts/").status_code == 404
    assert theirs.get(f"/api/v1/jobs/{job.pk}/artifacts/{artifact.id}/").status_code == 404


def test_artifact_of_the_same_name_is_replaced(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        context.attach("a.txt", b"one")
        context.attach("b.txt", b"two")
        context.attach("a.txt", b"three")

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    run(job)
    with tenant_context(acme):
        assert {each.name: each.size_bytes for each in artifacts.artifacts_of(job.pk)} == {"a.txt": 5, "b.txt": 3}


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("", "text/csv"),
        ("a/b", "text/csv"),
        ("a\nb", "text/csv"),
        ("x" * 256, "text/csv"),
        ("a", "text"),
        ("a", "a/b\n"),
    ],
)
def test_invalid_name_or_type_is_a_dead_letter(
    acme: Tenant, run: Run, set_processor: Follow, name: str, content_type: str
) -> None:
    (job,) = submit(acme, kind="scripted")
    job = run_with(run, set_processor, job, name, b"one", content_type)
    assert (job.state, job.error_type) == ("discarded", "artifact_invalid")


def test_artifacts_count_towards_the_storage_limit(acme: Tenant, run: Run, set_processor: Follow) -> None:
    set_tenant_limit(tenant=acme, key=STORAGE_BYTES.key, value=10, reason="a test")
    (job,) = submit(acme, kind="scripted")
    job = run_with(run, set_processor, job, "a.txt", b"x" * 11)
    assert (job.state, job.error_type, names_of(job)) == ("discarded", "space_exceeded", [])


def test_number_of_artifacts_is_limited(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MAX_ARTIFACTS", 2)

    def process(context: JobContext) -> None:
        for name in ("a", "b", "a", "c"):
            context.attach(name, name.encode())

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    assert run(job).error_type == "too_many_artifacts"
    assert sorted(names_of(job)) == ["a", "b"]


def test_lost_execution_attaches_nothing(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        with all_tenants():
            Job.objects.filter(pk=context.job_id).update(fence=context.fencing_token + 1)
        context.attach("a.txt", b"one")

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    assert run(job).state == "executing"
    assert names_of(job) == []


def test_coroutine_attaches_in_its_transaction(acme: Tenant, run: Run, set_processor: Follow) -> None:
    async def process(context: AsyncJobContext) -> None:
        await context.attach("kept.txt", b"one")
        async with context.database():
            await context.attach("undone.txt", b"two")
            raise ValueError("no")

    (job,) = submit(acme, kind="scripted_coroutine")
    set_processor(process)
    run(job)
    assert names_of(job) == ["kept.txt"]


@pytest.mark.parametrize("kind", ["scripted_coroutine", "io"], indirect=True)
@pytest.mark.parametrize(
    ("room", "most", "name", "error"),
    [
        (10, 1, "a.txt", ""),
        (2, 1, "a.txt", "space_exceeded"),
        (10, 0, "a.txt", "too_many_artifacts"),
        (10, 1, "a/b", "artifact_invalid"),
    ],
)
def test_coroutine_stores_the_bytes_without_the_connection_unless_it_is_refused(
    acme: Tenant,
    run: Run,
    set_processor: Follow,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    files_root: Path,
    room: int,
    most: int,
    name: str,
    error: str,
) -> None:
    set_tenant_limit(tenant=acme, key=STORAGE_BYTES.key, value=room, reason="a test")
    monkeypatch.setattr(artifacts, "MAX_ARTIFACTS", most)
    threads: list[str] = []
    save = default_storage.save

    def watched(*args: Any, **options: Any) -> str:
        threads.append(threading.current_thread().name)
        return save(*args, **options)

    monkeypatch.setattr(default_storage, "save", watched)
    (job,) = submit(acme, kind=kind)
    assert run_with(run, set_processor, job, name, b"one").error_type == error
    # Not those of the event loop, in which host names are looked up.
    assert [each.rsplit("_", 1)[0] for each in threads] == ([] if error else ["upload"])
    assert len([path for path in files_root.rglob("*") if path.is_file()]) == (not error)


def test_coroutine_without_room_attaches_bytes_that_are_stored(acme: Tenant, run: Run, set_processor: Follow) -> None:
    async def process(context: AsyncJobContext) -> None:
        await context.attach("a.txt", b"one")
        await context.attach("b.txt", b"one")

    set_tenant_limit(tenant=acme, key=STORAGE_BYTES.key, value=3, reason="a test")
    (job,) = submit(acme, kind="scripted_coroutine")
    set_processor(process)
    run(job)
    assert names_of(job) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("kind", ["scripted_coroutine", "io"], indirect=True)
def test_upload_of_a_task_that_is_left_is_waited_for(
    acme: Tenant, run: Run, set_processor: Follow, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on, order = threading.Event(), threading.Event(), []
    save = default_storage.save
    left: list[asyncio.Task[None]] = []

    def slow(*args: Any, **options: Any) -> str:
        begun.set()
        goes_on.wait(30)
        order.append("saved")
        return save(*args, **options)

    async def process(context: AsyncJobContext) -> None:
        left.append(asyncio.create_task(context.attach("a.txt", b"one")))
        context.in_settlement(lambda: order.append("settled"))
        await asyncio.to_thread(begun.wait, 30)
        asyncio.get_running_loop().call_later(0.5, goes_on.set)

    monkeypatch.setattr(default_storage, "save", slow)
    (job,) = submit(acme, kind=kind)
    set_processor(process)
    assert run(job).state == "completed"
    assert order == ["saved", "settled"]
    assert left[0].cancelled()


@pytest.mark.parametrize(("role", "status"), [(Role.DEVELOPER, 302), (Role.VIEWER, 403)])
def test_job_page_lists_artifacts_and_leads_to_their_download(
    acme: Tenant, run: Run, set_processor: Follow, role: Role, status: int
) -> None:
    (job,) = submit(acme, kind="scripted")
    run_with(run, set_processor, job, "<b>.txt", b"one")
    user = User.objects.create_user("ada", password="x")
    add_member(tenant=acme, user=user, role=role)
    client = client_of(user)
    page = client.get(reverse("admin:scheduling_job_change", args=[job.pk])).content.decode()
    with tenant_context(acme):
        (artifact,) = artifacts.artifacts_of(job.pk)
    assert "&lt;b&gt;.txt" in page
    assert artifact.page in page
    assert client.get(artifact.page).status_code == 200
    assert client.get(f"/api/v1/jobs/{job.pk}/artifacts/{artifact.id}/").status_code == status


def test_artifacts_are_deleted_with_their_job(acme: Tenant, run: Run, set_processor: Follow) -> None:
    kept, gone = submit(acme, 2, kind="scripted")
    for job in (kept, gone):
        run_with(run, set_processor, job, "a.txt", str(job.pk).encode())
    with all_tenants():
        reload(gone).delete()
        Content.objects.update(held_until=timezone.now() - timedelta(days=2))
    found = {"artifacts": 0, "artifacts_removed": 0}
    cursor: dict[str, Any] = {}
    while True:
        step = upkeep.sweep_artifacts(UpkeepBudget(batch_rows=1, seconds=1.0, cursor=cursor))
        found = {name: count + step.counts[name] for name, count in found.items()}
        if not step.has_more:
            break
        cursor = dict(step.cursor)
    assert found == {"artifacts": 2, "artifacts_removed": 1}
    upkeep.sweep_contents(UpkeepBudget(batch_rows=10, seconds=1.0))
    with all_tenants():
        assert [each.job_id for each in Artifact.objects.all()] == [kept.pk]
        assert Content.objects.count() == 1
