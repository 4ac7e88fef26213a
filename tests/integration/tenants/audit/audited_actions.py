"""How the acts of `tests/audit_table.py` are performed: preparation, request, form values."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.postgres.search import SearchVectorField
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Value
from django.db.models.functions import Cast
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from scheduling.breakers.service import force_circuit
from scheduling.consistency.verification import verify
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.job_templates.service import TemplateContent
from scheduling.jobs.job_templates.service import add_version as add_template_version
from scheduling.jobs.suspension import suspend_job
from scheduling.load.rules import Level
from scheduling.load.service import force_level
from scheduling.models import (
    Batch,
    CFSPlan,
    Contact,
    ControlHold,
    EvidencePack,
    Job,
    JobTemplate,
    KindPause,
    Queue,
    TenantCapacity,
    TenantUpkeepRun,
    Worker,
    WorkerPool,
)
from scheduling.plans.service import update_cfs_plan
from scheduling.schedules.definitions import pause_schedule
from scheduling.stops.pauses import pause_kind, pause_queue
from tenants.access.invitations import invite
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.erasure.requests import request_erasure
from tenants.holds.service import release_hold
from tenants.limits.service import set_tenant_limit
from tenants.models import (
    AccessReview,
    AccessReviewLine,
    ApiKey,
    LegalHold,
    Membership,
    Plan,
    PlatformMembership,
    Tenant,
    Tier,
)
from tenants.plans.service import update_plan
from tenants.tenancy.service import pause_tenant, suspend_tenant
from tests.access.routes import SAMPLE_ID
from tests.integration.access.world import DEFINITION, World
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.passkeys import Passkey
from workloads.documents.chunks.service import update_chunk
from workloads.documents.indexing.service import enable_document, pause_document
from workloads.documents.indexing.uploads import add_address
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.service import archive_dataset, create_dataset
from workloads.documents.space import take_chunks
from workloads.model_endpoints.service import update_endpoint
from workloads.pipelines.models import PipelineRun
from workloads.pipelines.node_types import chain
from workloads.pipelines.service import create_pipeline
from workloads.workflows.models import Workflow
from workloads.workflows.service import add_version

# The actor of a console act, where it is not the admin.
ACTORS: dict[str, tuple[str, str]] = {
    "POST login/?wrong": ("system", "anonymous request"),
    "POST sign-in/second-factor/reauthenticate/": ("user", "admin"),
    "POST invitation/": ("user", "invited"),
}
# Prepares the world for an act; returns the key of the row to act on, if it is not the usual one.
Prepare = Callable[[World], Any]
PASSWORD = "a long enough passphrase 7"


def acme() -> Tenant:
    with all_tenants():
        return Tenant.objects.get(slug="acme")


def in_acme(act: Callable[[], Any]) -> Any:
    with tenant_context(acme()):
        return act()


def _pause_tenant(world: World) -> None:
    pause_tenant(tenant=acme(), reason="x")


def _pause_own_tenant(world: World) -> None:
    with acting_as(Actor(kind="user", label="owner", is_of_tenant=True)):
        _pause_tenant(world)


def _suspend_tenant(world: World) -> None:
    with all_tenants():
        # One in force refuses an erasure.
        LegalHold.objects.update(released_at=timezone.now())
    suspend_tenant(tenant=acme(), reason="x")


def _store_pack(world: World) -> None:
    with all_tenants():
        EvidencePack.objects.filter(pk=world.own["evidence_pack"]).update(state="stored", key="pack.zip")


def _no_review(world: World) -> None:
    with all_tenants():
        AccessReview.objects.all().delete()


def _changed_review(world: World) -> Any:
    in_acme(lambda: Membership.objects.filter(pk=world.own["member"]).update(role="developer"))
    return world.own["access_review"]


def _decided_review(world: World) -> Any:
    decided = {"decision": "keep", "decided_by": "user:ada", "decided_at": timezone.now()}
    in_acme(lambda: AccessReviewLine.objects.update(**decided))
    return world.own["access_review"]


def _pause_queue(world: World) -> int:
    queue = Queue.objects.get(name="dataset")
    pause_queue(queue=queue, reason="x")
    return queue.pk


def _pause_schedule(world: World) -> None:
    in_acme(lambda: pause_schedule(schedule_id=world.own["schedule"], reason="x"))


def _pause_document(world: World) -> None:
    in_acme(lambda: pause_document(document_id=world.own["document"], reason="x"))


def _fail_document(world: World) -> None:
    def fail() -> None:
        document = Document.objects.get(pk=world.own["document"])
        Document.objects.filter(pk=document.pk).update(status="error")
        Job.objects.filter(pk=document.job_id).update(state="discarded", finished_at=timezone.now())

    in_acme(fail)


def _address(world: World) -> Any:
    def add() -> Any:
        dataset = Document.objects.get(pk=world.own["document"]).dataset
        upload = add_address(tenant=acme(), dataset=dataset, url="https://example.com/x")
        return upload.files[0].document.pk

    return in_acme(add)


def _chunk(world: World) -> Any:
    """Return the first of two chunks of a completed document, with one earlier text."""

    def add() -> Any:
        document = Document.objects.get(pk=world.own["document"])
        take_chunks(document, 2)
        Document.objects.filter(pk=document.pk).update(status="completed", chunks_done=2, chunks_total=2)
        common = {"tenant": acme(), "dataset_id": document.dataset_id, "document": document}
        common |= {"embedding": [1.0] + [0.0] * 511, "search": Cast(Value(""), SearchVectorField())}
        made = [Chunk.objects.create(position=place, text=f"chunk {place}", **common) for place in range(2)]
        update_chunk(chunk_id=made[0].pk, text="one two")
        return made[0].pk

    return in_acme(add)


def _empty_dataset(world: World) -> Any:
    return create_dataset(tenant=acme(), name="empty").pk


def _dataset_of_another_model(world: World) -> Any:
    return in_acme(lambda: Dataset.objects.filter(pk=world.own["dataset"]).update(embedding_model="gone") and None)


def _release_hold(world: World) -> None:
    """Release the hold under which no dataset is deleted with its documents."""
    release_hold(hold_id=world.own["hold"], reason="x")


def _archive_dataset(world: World) -> None:
    in_acme(lambda: archive_dataset(dataset_id=world.own["dataset"]))


def _disable_document(world: World) -> None:
    in_acme(lambda: enable_document(document_id=world.own["document"], is_enabled=False))


def _idle_pipeline(world: World) -> Any:
    sources = [{"type": "text", "name": "e.txt", "text": "five"}]
    definition = chain(datasource={"sources": sources}, load={"dataset": "handbook"})
    return create_pipeline(tenant=acme(), name="idle", definition=definition).pk


def _cancelled_run(world: World) -> Any:
    def cancel() -> None:
        cancel_job(job_id=PipelineRun.objects.get(pk=world.own["pipeline_run"]).job_id)

    in_acme(cancel)
    return world.own["entity"]


def _waiting_job(world: World) -> Any:
    return world.own["waiting"]


def _suspended_job(world: World) -> Any:
    in_acme(lambda: suspend_job(job_id=world.own["waiting"]))
    return world.own["waiting"]


def _job_held_by_control(world: World) -> Any:
    in_acme(lambda: suspend_job(job_id=world.own["waiting"]))
    failure = {"id": str(world.own["control"]), "name": "x", "rule": "required_tags", "checkpoint": "submission"}
    with tenant_context(acme()):
        ControlHold.objects.create(job_id=world.own["waiting"], tenant=acme(), failures=[failure])
    return world.own["waiting"]


def _failed_job(world: World) -> Any:
    return world.own["job"]


def _ended_bulk(world: World) -> Any:
    take_turns()
    return world.own["bulk"]


def _open_batch(world: World) -> Any:
    in_acme(lambda: Batch.objects.filter(pk=world.own["batch"]).update(closed_at=None))
    return world.own["batch"]


def _forced_circuit(world: World) -> None:
    force_circuit(kind="noop", tenant_id=None, dependency="api", is_open=True, reason="x")


def _forced_load(world: World) -> str:
    return force_level(scope="platform", level=Level.BUSY, reason="x").pk


def _paused_kind(world: World) -> Any:
    pause_kind(kind="noop", reason="x")
    with all_tenants():
        return KindPause.objects.get(kind="noop").pk


def _beat_row(make: Callable[[], Any]) -> Prepare:
    return lambda world: make().pk


def _member(world: World) -> Any:
    return world.own["member"]


def _set_limit(world: World) -> Any:
    limit = set_tenant_limit(tenant=acme(), key="submit_burst", value=5, reason="x", expires_at=None)
    return limit.pk if limit else None


def _user(world: World) -> Any:
    return world.own["user"]


def _inactive_user(world: World) -> Any:
    get_user_model().objects.filter(pk=world.own["user"]).update(is_active=False)
    return world.own["user"]


def _locked_user(world: World) -> Any:
    Client().post("/admin/login/", {"username": "viewer", "password": "wrong"})
    return world.own["user"]


def _factor_of_viewer(world: World) -> None:
    TOTP.activate(get_user_model().objects.get(username="viewer"), generate_totp_secret())


def _wrong_capacity(world: World) -> None:
    # The world's rows are made by hand: repair their other faults before.
    verify(repair=True)
    with all_tenants():
        TenantCapacity.objects.filter(tenant=acme()).update(in_flight=7)


def _no_open_run(world: World) -> None:
    with all_tenants():
        TenantUpkeepRun.objects.update(outcome=TenantUpkeepRun.Outcome.OK)


def _worker(world: World) -> None:
    now = timezone.now()
    with all_tenants():
        pool = WorkerPool.objects.get(name="default")
        Worker.objects.create(
            pk=SAMPLE_ID,
            pool=pool,
            queues=list(pool.queues.values_list("name", flat=True)),
            hostname="bench",
            pid=4711,
            slots=4,
            started_at=now,
            heartbeat_at=now,
            version="1.0",
        )


def _draining_worker(world: World) -> None:
    _worker(world)
    world.api["admin"].post(f"/api/v1/workers/{SAMPLE_ID}/drain/", {"reason": "x"}, format="json")


def _worker_row(world: World) -> Any:
    _worker(world)
    return SAMPLE_ID


def _draining_worker_row(world: World) -> Any:
    _draining_worker(world)
    return SAMPLE_ID


def _paused_pool_row(world: World) -> Any:
    _paused_pool(world)
    return WorkerPool.objects.get(name="default").pk


def globex() -> Tenant:
    with all_tenants():
        return Tenant.objects.get(slug="globex")


def _requested_erasure(world: World) -> Any:
    _suspend_tenant(world)
    return request_erasure(tenant=acme(), reason="x", confirm="acme").pk


def _operators_role(world: World) -> Any:
    return PlatformMembership.objects.get(user__username="operator").pk


def _paused_pool(world: World) -> None:
    world.api["admin"].post("/api/v1/pools/default/pause/", {"reason": "x"}, format="json")


def _other_cfs_plan(world: World) -> Any:
    return CFSPlan.objects.filter(is_active=False).earliest("pk").pk


def _edited_plan(world: World, effective_from: datetime | None = None) -> Any:
    plan = Plan.objects.get(slug="team")
    update_plan(plan=plan, changes={"weight": 9}, effective_from=effective_from)
    return plan.pk


def _edited_cfs_plan(world: World, effective_from: datetime | None = None) -> Any:
    plan = CFSPlan.objects.get(name="cloud")
    update_cfs_plan(plan=plan, fields={"granularity_seconds": 9}, effective_from=effective_from)
    return plan.pk


def _edited_workflow(world: World, effective_from: datetime | None = None) -> Any:
    with all_tenants():
        workflow = Workflow.objects.get(pk=world.own["workflow"])
    start, end = DEFINITION["nodes"]
    definition = DEFINITION | {"nodes": [start, end | {"title": "Done"}]}
    add_version(workflow=workflow, definition=definition, effective_from=effective_from)
    return workflow.pk


def _edited_template(world: World, effective_from: datetime | None = None) -> Any:
    with all_tenants():
        template = JobTemplate.objects.get(pk=world.own["template"])
    add_template_version(
        template=template, content=TemplateContent(kind="noop", priority=1), effective_from=effective_from
    )
    return template.pk


def _disabled_contact(world: World) -> Any:
    with all_tenants():
        Contact.objects.filter(pk=world.own["contact"]).update(is_enabled=False)
    return world.own["contact"]


def _listed_model(world: World) -> None:
    models = [{"name": "m", "use": "chat"}]
    in_acme(lambda: update_endpoint(endpoint_id=world.own["model_endpoint"], changes={"models": models}))


LATER = datetime(2999, 1, 1, tzinfo=UTC)
PREPARE: dict[str, Prepare] = {
    "scheduling.evidencepack download": _store_pack,
    "POST access-reviews/": _no_review,
    "POST access-reviews/{access_review}/refresh/": lambda world: _changed_review(world) and None,
    "POST access-reviews/{access_review}/close/": lambda world: _decided_review(world) and None,
    "tenants.accessreview add": _no_review,
    "tenants.accessreview refresh": _changed_review,
    "tenants.accessreview close": _decided_review,
    "tenants.accessreviewline keep": lambda world: world.own["access_line"],
    "POST plans/team/rollback/": lambda world: _edited_plan(world) and None,
    "POST plans/team/withdraw/": lambda world: _edited_plan(world, LATER) and None,
    "POST cfs-plans/cloud/rollback/": lambda world: _edited_cfs_plan(world) and None,
    "POST cfs-plans/cloud/withdraw/": lambda world: _edited_cfs_plan(world, LATER) and None,
    "tenants.plan rollback": _edited_plan,
    "tenants.plan withdraw": lambda world: _edited_plan(world, LATER),
    "scheduling.cfsplan rollback": _edited_cfs_plan,
    "scheduling.cfsplan withdraw": lambda world: _edited_cfs_plan(world, LATER),
    "POST job-templates/{template}/rollback/": lambda world: _edited_template(world) and None,
    "POST job-templates/{template}/withdraw/": lambda world: _edited_template(world, LATER) and None,
    "scheduling.jobtemplate rollback": _edited_template,
    "scheduling.jobtemplate withdraw": lambda world: _edited_template(world, LATER),
    "POST workflows/{workflow}/rollback/": lambda world: _edited_workflow(world) and None,
    "POST workflows/{workflow}/withdraw/": lambda world: _edited_workflow(world, LATER) and None,
    "workflow_execution.workflow rollback": _edited_workflow,
    "workflow_execution.workflow withdraw": lambda world: _edited_workflow(world, LATER),
    "POST contacts/{contact}/enable/": lambda world: _disabled_contact(world) and None,
    "scheduling.contact enable": _disabled_contact,
    "POST model-endpoints/{model_endpoint}/test/": _listed_model,
    "model_endpoints.modelendpoint try_it": _listed_model,
    "versions": _edited_plan,
    "POST batches/{batch}/jobs/": lambda world: _open_batch(world) and None,
    "POST batches/{batch}/close/": lambda world: _open_batch(world) and None,
    "scheduling.batch close": _open_batch,
    "POST bulk-operations/{bulk}/undo/": lambda world: _ended_bulk(world) and None,
    "scheduling.bulkoperation undo": _ended_bulk,
    "POST tenants/me/resume/": _pause_own_tenant,
    "POST jobs/{waiting}/resume/": lambda world: _suspended_job(world) and None,
    "POST jobs/{waiting}/override-controls/": lambda world: _job_held_by_control(world) and None,
    "POST queues/dataset/resume/": _pause_queue,
    "POST schedules/{schedule}/resume/": _pause_schedule,
    "POST documents/{document}/resume/": _pause_document,
    "POST documents/{document}/retry/": _fail_document,
    "DELETE datasets/{dataset}/": _empty_dataset,
    "POST datasets/{dataset}/reembed/": _dataset_of_another_model,
    "POST retrieval/dataset/{dataset}/reembed/": _dataset_of_another_model,
    "PATCH chunks/{chunk}/": _chunk,
    **{f"POST chunks/{{chunk}}/{act}/": _chunk for act in ("add-after", "split", "merge", "embed", "restore")},
    **{f"retrieval.chunk {act}": _chunk for act in ("change", "embed", "merge")},
    "DELETE pipelines/{pipeline}/": _idle_pipeline,
    "POST entities/{entity}/retry/": _cancelled_run,
    "rag_pipeline.pipeline delete": _idle_pipeline,
    "rag_pipeline.pipelineentity retry": _cancelled_run,
    "POST tenants/globex/reinstate/": lambda world: suspend_tenant(tenant=globex(), reason="x"),
    "POST tenants/globex/resume/": lambda world: pause_tenant(tenant=globex(), reason="x"),
    "tenants.tenant erase": _suspend_tenant,
    "tenants.tenanterasure cancel": _requested_erasure,
    "erase_tenant": _suspend_tenant,
    "reinstate_tenant": _suspend_tenant,
    "scheduling.worker drain": _worker_row,
    "scheduling.worker resume": _draining_worker_row,
    "scheduling.workerpool resume": _paused_pool_row,
    "tenants.tenant resume": _pause_tenant,
    "tenants.tenant reinstate": _suspend_tenant,
    "scheduling.queue resume": _pause_queue,
    "scheduling.schedule resume": _pause_schedule,
    "retrieval.document resume": _pause_document,
    "retrieval.document retry": _fail_document,
    "retrieval.document refetch": _address,
    "POST datasets/{dataset}/unarchive/": _archive_dataset,
    "retrieval.dataset unarchive": _archive_dataset,
    "retrieval.dataset delete": _release_hold,
    "retrieval.document enable": _disable_document,
    "scheduling.job cancel": _waiting_job,
    "scheduling.job suspend": _waiting_job,
    "scheduling.job resume": _suspended_job,
    "scheduling.job override_controls": _job_held_by_control,
    "scheduling.job retry": _failed_job,
    "scheduling.kindpause resume": _paused_kind,
    "scheduling.cfsplan activate": _other_cfs_plan,
    "POST usage/submit_burst/clear/": _set_limit,
    "tenants.tenantlimit change": _set_limit,
    "tenants.tenantlimit clear": _set_limit,
    "POST kinds/noop/resume/": _paused_kind,
    "POST shared-circuits/noop/reset/": _forced_circuit,
    "POST load/platform/release/": _forced_load,
    "scheduling.loadstate release": _forced_load,
    "POST pools/default/resume/": _paused_pool,
    "resume": _pause_queue,
    "auth.user change": _user,
    "auth.user deactivate": _user,
    "auth.user activate": _inactive_user,
    "auth.user unlock": _locked_user,
    "unlock_login": _locked_user,
    "remove_second_factor": _factor_of_viewer,
    "verify": _wrong_capacity,
    "POST upkeep-runs/": _no_open_run,
    f"POST workers/{SAMPLE_ID}/drain/": _worker,
    f"POST workers/{SAMPLE_ID}/resume/": _draining_worker,
    "tenants.platformmembership change": _operators_role,
    "tenants.platformmembership revoke": _operators_role,
    "tenants.membership change": _member,
    "tenants.membership remove": _member,
    "import_periodic_tasks": _beat_row(
        lambda: PeriodicTask.objects.create(
            name="nightly import",
            task="scheduling.submit",
            kwargs='{"tenant": "acme", "kind": "noop"}',
            interval=IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS),
        )
    ),
    "django_celery_beat.clockedschedule change": _beat_row(
        lambda: ClockedSchedule.objects.create(clocked_time=datetime(2030, 1, 1, tzinfo=UTC))
    ),
    "django_celery_beat.crontabschedule change": _beat_row(lambda: CrontabSchedule.objects.create(minute="7")),
    "django_celery_beat.solarschedule change": _beat_row(
        lambda: SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1)
    ),
}


def _upload() -> dict[str, Any]:
    return {"files": SimpleUploadedFile("b.txt", b"two")}


_QUESTIONS = b"question,document\nWhat is in it?,a.txt\n"


def _questions() -> dict[str, Any]:
    return {"file": SimpleUploadedFile("questions.csv", _QUESTIONS)}


# All fields of the dialogs of acts on one row.
ACT_FORM = {"reason": "x", "confirm": "acme"}
# Further fields of the forms beside a row.
ACT_FORMS = {
    f"{page} {act}": {"number": str(number)}
    for page in ("scheduling.cfsplan", "scheduling.jobtemplate", "tenants.plan", "workflow_execution.workflow")
    for act, number in (("rollback", 1), ("withdraw", 2))
}
# Bodies that differ from those of the access table, or functions that return them.
BODIES: dict[str, Any] = {
    "POST document-sources/": lambda world: {
        "name": "new",
        "dataset": str(world.own["dataset"]),
        "connector": "sitemap",
        "config": {"url": "https://docs.example.com/"},
    },
    "POST schedules/{schedule}/backfill/": {
        "from": "2026-01-01T00:00:00Z",
        "to": "2026-01-02T00:00:00Z",
        "dry_run": False,
    },
    "POST model-endpoints/{model_endpoint}/test/": {"model": "m"},
    "POST plans/team/withdraw/": {"number": 2, "reason": "x"},
    "POST cfs-plans/cloud/withdraw/": {"number": 2, "reason": "x"},
    "POST job-templates/{template}/withdraw/": {"number": 2, "reason": "x"},
    "POST workflows/{workflow}/withdraw/": {"number": 2, "reason": "x"},
}
# Forms that are not JSON.
MULTIPART: dict[str, Callable[[], dict[str, Any]]] = {
    "POST datasets/{dataset}/documents/": _upload,
    "POST datasets/{dataset}/evaluations/": _questions,
    "POST documents/{document}/replace/": lambda: {"file": SimpleUploadedFile("b.txt", b"two")},
    "POST files/": _upload,
}

# Form values that replace those offered by the form of a page.
FORMS: dict[str, Callable[[World], dict[str, Any]]] = {
    "auth.user add": lambda world: {"username": "nora", "password1": PASSWORD, "password2": PASSWORD},
    "auth.user change": lambda world: {"first_name": "Vera"},
    "django_celery_beat.clockedschedule add": lambda world: {"clocked_time_0": "2030-01-01", "clocked_time_1": "08:00"},
    "django_celery_beat.crontabschedule add": lambda world: {"minute": "7"},
    "django_celery_beat.intervalschedule add": lambda world: {"every": "7", "period": "seconds"},
    "django_celery_beat.solarschedule add": lambda world: {"event": "sunset", "latitude": "1", "longitude": "1"},
    "django_celery_beat.clockedschedule change": lambda world: {"clocked_time_0": "2031-01-01"},
    "django_celery_beat.crontabschedule change": lambda world: {"minute": "8"},
    "django_celery_beat.intervalschedule change": lambda world: {"every": "8"},
    "django_celery_beat.solarschedule change": lambda world: {"latitude": "2"},
    "rag_pipeline.pipeline add": lambda world: {
        "tenant": acme().pk,
        "name": "another",
        "definition": json.dumps(chain(load={"dataset": "handbook"})),
    },
    "rag_pipeline.pipeline change": lambda world: {"description": "changed"},
    "retrieval.chunk change": lambda world: {"text": "changed"},
    "document_sources.contentsource add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "dataset": world.own["dataset"],
        "connector": "sitemap",
        "config": '{"url": "https://docs.example.com/"}',
        "credentials": "{}",
        "gone_items": "keep",
        "max_documents": 5,
        "max_file_bytes": 1_000,
        "is_enabled": "on",
    },
    "document_sources.contentsource change": lambda world: {"max_documents": 5},
    "retrieval.dataset add": lambda world: {"tenant": acme().pk, "name": "another"},
    "retrieval.dataset change": lambda world: {"description": "changed"},
    "scheduling.jobtemplate add": lambda world: {"tenant": acme().pk, "name": "another", "kind": "noop"},
    "scheduling.jobtemplate change": lambda world: {"description": "changed"},
    "workflow_execution.workflow add": lambda world: {"tenant": acme().pk, "name": "another"},
    "workflow_execution.workflow change": lambda world: {"description": "changed"},
    "scheduling.alertrule add": lambda world: {
        "tenant": acme().pk,
        "name": "another",
        "measure": "oldest_wait",
        "per": "tenant",
        "comparison": "gt",
        "threshold": "60",
        "for_seconds": "0",
        "clear_seconds": "60",
        "severity": "info",
        "zone": "UTC",
        "confirm": "on",
    },
    "scheduling.alertrule change": lambda world: {"severity": "info"},
    "scheduling.contactgroup add": lambda world: {"tenant": acme().pk, "name": "another"},
    "scheduling.contactgroup change": lambda world: {"description": "changed"},
    "scheduling.contact add": lambda world: {
        "tenant": acme().pk,
        "group": world.own["group"],
        "channel": "slack",
        "target": "https://hooks.example.com/another",
        "min_severity": "info",
        "per_hour": "5",
        "is_enabled": "on",
    },
    "scheduling.contact change": lambda world: {"per_hour": "6"},
    "scheduling.alertroute add": lambda world: {
        "tenant": acme().pk,
        "position": "77",
        "min_severity": "info",
        "zone": "UTC",
        "group": world.own["group"],
    },
    "scheduling.alertroute change": lambda world: {"position": "78"},
    "scheduling.alertowner add": lambda world: {
        "tenant": acme().pk,
        "target": "kind",
        "name": "another",
        "group": world.own["group"],
    },
    "scheduling.alertowner change": lambda world: {"name": "changed"},
    "scheduling.alertsilence add": lambda world: {
        "tenant": acme().pk,
        "ends_at_0": f"{timezone.now() + timedelta(days=1):%Y-%m-%d}",
        "ends_at_1": "12:00:00",
        "starts_at_0": f"{timezone.now():%Y-%m-%d}",
        "starts_at_1": "00:00:00",
        "reason": "x",
    },
    "scheduling.alertsilence change": lambda world: {"reason": "changed"},
    "scheduling.circuit add": lambda world: {
        "kind": "noop",
        "dependency": "api",
        "state": "forced_open",
        "tenant": acme().pk,
        "reason": "x",
    },
    "scheduling.kindpause add": lambda world: {"kind": "noop", "reason": "x"},
    "scheduling.queue add": lambda world: {
        "name": "another",
        "pool": WorkerPool.objects.get(name="default").pk,
        "reason": "x",
    },
    "scheduling.queue change": lambda world: {"weight": "9"},
    "scheduling.routingrule add": lambda world: {"kind": "noop", "position": "77", "by_tier": "on"},
    "scheduling.routingrule change": lambda world: {"position": "78"},
    "scheduling.workerpool add": lambda world: {"name": "another", "reason": "x"},
    "scheduling.workerpool change": lambda world: {"description": "changed"},
    "scheduling.cfsplan add": lambda world: {"name": "another"},
    "scheduling.cfsplan change": lambda world: {"granularity_seconds": "77"},
    "django_celery_beat.periodictask add": lambda world: {
        "name": "another",
        "job_tenant": "acme",
        "job_kind": "noop",
        "interval": IntervalSchedule.objects.earliest("pk").pk,
    },
    "django_celery_beat.periodictask change": lambda world: {"description": "changed"},
    "tenants.apikey add": lambda world: {"tenant": acme().pk, "name": "new", "scopes": ["jobs.view"]},
    "tenants.platformkey add": lambda world: {"name": "new", "scopes": ["tenants.manage"]},
    "tenants.tenantsecret add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "bound_to": "api.example.com",
        "value": "a long enough value",
    },
    "tenants.tenantsecret change": lambda world: {"value": "another long value"},
    "scheduling.investigation add": lambda world: {"kind": "noop", "began_at_0": "2026-01-01", "began_at_1": "00:00"},
    "scheduling.investigation change": lambda world: {"has_helped": "true"},
    "scheduling.sheddingrule add": lambda world: {
        "name": "new",
        "position": 99,
        "from_level": 2,
        "action": "off",
        "feature": "streams",
        "delay_seconds": 0,
        "is_enabled": "on",
    },
    "scheduling.sheddingrule change": lambda world: {"name": "changed"},
    "tenants.accessreview add": lambda world: {"tenant": acme().pk},
    "tenants.approvalrule add": lambda world: {"act": "erasure", "hours": 24},
    "tenants.approvalrule change": lambda world: {"hours": 12},
    "tenants.claimrule add": lambda world: {"claim": "groups", "value": "new", "role": "auditor"},
    "tenants.claimrule change": lambda world: {"value": "changed"},
    "tenants.tenantrole add": lambda world: {"tenant": acme().pk, "name": "new", "rights": ["jobs.view"]},
    "tenants.tenantrole change": lambda world: {"rights": ["jobs.view"]},
    "scheduling.priorityrule add": lambda world: {
        "name": "new",
        "position": 99,
        "from_level": 1,
        "kind": "noop",
        "failure_percent": 0,
        "offset_seconds": 30,
        "is_enabled": "on",
    },
    "scheduling.controlrule add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "checkpoint": "submission",
        "rule": "required_tags",
        "parameters": '{"tags": ["x"]}',
        "may_hold_all": "on",
        "is_enabled": "on",
    },
    "scheduling.controlrule change": lambda world: {"name": "changed"},
    "scheduling.priorityrule change": lambda world: {"name": "changed"},
    "scheduling.backupplan add": lambda world: {
        "name": "new",
        "target": "/backups/new",
        "every_hours": 24,
        "promised_hours": 30,
        "keep_days": 30,
        "keep_least": 3,
        "has_files": "on",
        "is_enabled": "on",
    },
    "scheduling.backupplan change": lambda world: {"name": "changed"},
    "scheduling.outboxroute add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "topic": "order.*",
        "adapter": "webhook",
        "target": "ops",
        "is_enabled": "on",
    },
    "scheduling.outboxroute change": lambda world: {"topic": "order.paid"},
    "scheduling.eventtrigger add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "topic": "order.*",
        "kind": "noop",
        "is_enabled": "on",
    },
    "scheduling.eventtrigger change": lambda world: {"topic": "order.lost"},
    "scheduling.objective add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "target_share": 0.9,
        "target_seconds": 60,
        "window_days": 7,
    },
    "scheduling.objective change": lambda world: {"target_share": 0.9},
    "scheduling.evidencepack add": lambda world: {
        "tenant": acme().pk,
        "template": "gdpr",
        **{f"{name}_1": "00:00:00" for name in ("since", "until")},
        "since_0": "2019-01-01",
        "until_0": "2019-02-01",
        "is_empty_allowed": "on",
    },
    "scheduling.evidencepack change": lambda world: {
        **{f"{name}_1": "00:00:00" for name in ("since", "until")},
        "since_0": "2019-01-01",
        "until_0": "2019-02-01",
        "is_empty_allowed": "on",
    },
    "scheduling.evidenceschedule add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "template": "soc2",
        "every": "quarter",
        "group": world.own["group"],
        "is_empty_allowed": "on",
    },
    "scheduling.evidenceschedule change": lambda world: {"every": "quarter"},
    "triggers.webhooktrigger add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "kind": "noop",
        "mapping": "{}",
        "signature": "standard",
        "is_enabled": "on",
    },
    "triggers.webhooktrigger change": lambda world: {"name": "changed"},
    "model_endpoints.modelendpoint add": lambda world: {
        "tenant": acme().pk,
        "name": "new",
        "url": "https://example.com/v1",
    },
    "model_endpoints.modelendpoint change": lambda world: {"read_seconds": "30"},
    "webhooks.webhook add": lambda world: {"tenant": acme().pk, "name": "new", "url": "https://example.com/"},
    "webhooks.webhook change": lambda world: {"events": ["job.completed"]},
    "tenants.invitation add": lambda world: {"tenant": acme().pk, "invitee": "newcomer", "role": "viewer"},
    "tenants.membership change": lambda world: {"role": "owner"},
    "tenants.plan add": lambda world: {
        "slug": "new",
        "name": "New",
        "tier": Tier.objects.earliest("rank").pk,
        "max_waiting_jobs": "5",
        "submits_per_minute": "5",
        "worker_seconds_per_month": "5",
    },
    "tenants.plan change": lambda world: {"name": "Renamed"},
    "tenants.tenant add": lambda world: {
        "slug": "new",
        "name": "New",
        "plan": Plan.objects.earliest("slug").pk,
        "owner": "nora@new.example",
    },
    "tenants.tenant change": lambda world: {"name": "Renamed"},
    "scheduling.schedule add": lambda world: {
        "tenant": acme().pk,
        "name": "another",
        "kind": "noop",
        "cron": "0 3 * * *",
    },
    "scheduling.schedule change": lambda world: {"cron": "0 4 * * *"},
    "tenants.platformmembership add": lambda world: {"username": "newcomer", "role": "auditor", "reason": "x"},
    "tenants.platformmembership change": lambda world: {"role": "auditor", "reason": "x"},
    "tenants.tenantlimit add": lambda world: {"tenant": acme().pk, "key": "submit_burst", "value": "7", "reason": "x"},
    "tenants.tenantlimit change": lambda world: {"value": "8", "reason": "y"},
    "tenants.tier add": lambda world: {"slug": "new", "name": "New", "rank": "77"},
    "tenants.tier change": lambda world: {"name": "Renamed"},
}


# The parameters that open the form, if it is behind a page.
FORM_QUERIES = {"tenants.tenant": "?edit=1"}


def offered_by(page: Any) -> dict[str, Any]:
    """Return what a form sends without any input."""
    assert "adminform" in page.context, (page.request["PATH_INFO"], page.status_code)
    form = page.context["adminform"].form
    forms = [form]
    for inline in page.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    data: dict[str, Any] = {}
    for part in forms:
        for field in part:
            value = field.value()
            if value is None or value is False:
                continue
            if hasattr(field.field.widget, "decompress") and not isinstance(value, list):
                pieces = field.field.widget.decompress(value)
                data |= {f"{field.html_name}_{n}": str(piece) for n, piece in enumerate(pieces) if piece is not None}
            else:
                data[field.html_name] = value
    return data


def form_faults(answer: Any) -> str:
    """Return the errors of a form, to help with adding its line."""
    shown = getattr(answer, "context", None)
    if not shown or "adminform" not in shown:
        return ""
    return f"{dict(shown['adminform'].form.errors)}"


def _post(world: World, path: str, data: dict[str, Any], role: str = "admin") -> Callable[[], Any]:
    # A separate client: a log-out or a new password would end the session of the following acts.
    client, headers = Client(), {"X-Request-ID": "coverage-1"}
    if role != "anonymous":
        client.force_login(get_user_model().objects.get(username=role))
    return lambda: client.post(f"/admin/{path}", data, headers=headers)


def _recently_confirmed(client: Client, user: Any) -> None:
    """Let the session be one whose account has just confirmed itself."""
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": "password", "at": time.time(), "reauthenticated": True}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def _activate_factor(world: World) -> Callable[[], Any]:
    client, user = Client(), get_user_model().objects.get(username="admin")
    client.force_login(user)
    _recently_confirmed(client, user)
    page = "/admin/sign-in/second-factor/activate/"
    secret = client.get(page).context["form"].secret
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    return lambda: client.post(page, {"code": code}, headers={"X-Request-ID": "coverage-1"})


def _add_key(world: World) -> Callable[[], Any]:
    client, user = Client(SERVER_NAME="localhost"), get_user_model().objects.get(username="admin")
    client.force_login(user)
    _recently_confirmed(client, user)
    page = "/admin/sign-in/second-factor/keys/add/"
    credential = Passkey().register(client.get(page).context["js_data"]["creation_options"])
    return lambda: client.post(page, {"credential": credential}, headers={"X-Request-ID": "coverage-1"})


def _remove_key(world: World) -> Callable[[], Any]:
    client, user = Client(), get_user_model().objects.get(username="admin")
    key = Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data={"name": "laptop"})
    client.force_login(user)
    _recently_confirmed(client, user)
    page = f"/admin/sign-in/second-factor/keys/{key.pk}/remove/"
    return lambda: client.post(page, headers={"X-Request-ID": "coverage-1"})


def _with_factor(world: World, path: str, data: dict[str, Any]) -> Callable[[], Any]:
    client, user = Client(), get_user_model().objects.get(username="admin")
    TOTP.activate(user, generate_totp_secret())
    client.force_login(user)
    _recently_confirmed(client, user)
    return lambda: client.post(f"/admin/sign-in/second-factor/{path}", data, headers={"X-Request-ID": "coverage-1"})


def _log_in(world: World, password: str, path: str = "login/") -> Callable[[], Any]:
    user = get_user_model().objects.get(username="admin")
    user.set_password(PASSWORD)
    user.save()
    return _post(world, path, {"username": "admin", "password": password}, role="anonymous")


def _change_own_password(world: World) -> Callable[[], Any]:
    user = get_user_model().objects.get(username="admin")
    user.set_password(PASSWORD)
    user.save()
    new = {"new_password1": PASSWORD + "x", "new_password2": PASSWORD + "x"}
    return _post(world, "password_change/", {"old_password": PASSWORD, **new})


def _upload_by_console(world: World) -> Callable[[], Any]:
    data = {"tenant": acme().pk, "dataset": world.own["dataset"], **_upload()}
    return _post(world, "retrieval/document/upload/", data)


def _change_chunk(world: World, change: str, data: dict[str, str]) -> Callable[[], Any]:
    return _post(world, f"retrieval/chunk/{_chunk(world)}/{change}/", data)


def _change_settings(world: World) -> Callable[[], Any]:
    path = f"tenants/tenantsettings/of/{acme().pk}/"
    fields = world.console["admin"].get(f"/admin/{path}").context["form"]
    sent = {field.html_name: field.value() for field in fields if not field.html_name.startswith("reset:")}
    offered = {name: "" if value is None else value for name, value in sent.items()}
    return _post(world, path, {**offered, "timezone": "Asia/Tokyo"})


def _accept_invitation() -> Callable[[], Any]:
    client = Client()
    client.force_login(get_user_model().objects.create_user("invited"))
    token = invite(tenant=acme(), invitee="invited", role="viewer", link_of=str).link
    return lambda: client.post(f"/admin/invitation/?token={token}", headers={"X-Request-ID": "coverage-1"})


def _leave_view(world: World) -> Callable[[], Any]:
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    client.post(f"/admin/tenants/tenant/{acme().pk}/act/view_as/", {"reason": "x"})
    return lambda: client.post("/admin/tenants/tenant/leave/", headers={"X-Request-ID": "coverage-1"})


CONSOLE: dict[str, Callable[[World], Callable[[], Any]]] = {
    "POST login/": lambda world: _log_in(world, PASSWORD),
    "POST login/?wrong": lambda world: _log_in(world, "wrong"),
    "POST logout/": lambda world: _post(world, "logout/", {}),
    "POST invitation/": lambda world: _accept_invitation(),
    "POST password_change/": _change_own_password,
    "POST sign-in/": lambda world: _log_in(world, PASSWORD, "sign-in/"),
    "POST sign-in/cancel/": lambda world: _post(world, "sign-in/cancel/", {}),
    "POST sign-in/second-factor/activate/": _activate_factor,
    "POST sign-in/second-factor/deactivate/": lambda world: _with_factor(world, "deactivate/", {}),
    "POST sign-in/second-factor/reauthenticate/": lambda world: _with_factor(world, "reauthenticate/", {"code": "0"}),
    "POST sign-in/second-factor/keys/add/": _add_key,
    "POST sign-in/second-factor/keys/0/remove/": _remove_key,
    "POST sign-in/second-factor/recovery-codes/generate/": lambda world: _with_factor(
        world, "recovery-codes/generate/", {}
    ),
    "POST auth/user/{user}/password/": lambda world: _post(
        world,
        f"auth/user/{world.own['user']}/password/",
        {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"},
    ),
    "POST files/uploadedfile/upload/": lambda world: _post(
        world, "files/uploadedfile/upload/", {"tenant": acme().pk, **_upload()}
    ),
    "POST retrieval/chunk/{chunk}/add-after/": lambda world: _change_chunk(world, "add-after", {"text": "three"}),
    "POST retrieval/chunk/{chunk}/split/": lambda world: _change_chunk(world, "split", {"words": "two"}),
    "POST retrieval/chunk/{chunk}/restore/": lambda world: _change_chunk(world, "restore", {"number": "1"}),
    "POST retrieval/document/{document}/metadata/": lambda world: _post(
        world, f"retrieval/document/{world.own['document']}/metadata/", {"metadata": '{"year": 2027}'}
    ),
    "POST retrieval/document/reindex/": lambda world: _post(
        world, "retrieval/document/reindex/", {"dataset": world.own["dataset"], "everything": "on"}
    ),
    "POST retrieval/dataset/{dataset}/reembed/": lambda world: _post(
        world, f"retrieval/dataset/{world.own['dataset']}/reembed/", {"model": "use-multilingual-3"}
    ),
    "POST retrieval/document/upload/": _upload_by_console,
    "POST document_evaluation/evaluation/start/": lambda world: _post(
        world, "document_evaluation/evaluation/start/", {"dataset": world.own["dataset"], **_questions()}
    ),
    "POST scheduling/jobtemplate/{template}/run/": lambda world: _post(
        world, f"scheduling/jobtemplate/{world.own['template']}/run/", {"parameters": "{}"}
    ),
    "POST workflow_execution/workflow/replay/{workflow_run}/": lambda world: _post(
        world, f"workflow_execution/workflow/replay/{world.own['workflow_run']}/", {"node": "start"}
    ),
    "POST workflow_execution/workflow/{workflow}/run/": lambda world: _post(
        world, f"workflow_execution/workflow/{world.own['workflow']}/run/", {"inputs": ""}
    ),
    "POST scheduling/schedule/{schedule}/backfill/": lambda world: _post(
        world,
        f"scheduling/schedule/{world.own['schedule']}/backfill/",
        {
            "since_0": "2026-01-01",
            "since_1": "00:00:00",
            "until_0": "2026-01-02",
            "until_1": "00:00:00",
            "run": "1",
            "reason": "x",
        },
    ),
    "POST scheduling/bulkoperation/start/": lambda world: _post(
        world,
        "scheduling/bulkoperation/start/",
        {"run": "1", "filter": "tenant:acme kind:noop", "operation": "cancel", "reason": "x"},
    ),
    "POST scheduling/job/{job}/replay/": lambda world: _post(
        world, f"scheduling/job/{world.own['job']}/replay/", {"payload": "{}", "reason": "x"}
    ),
    "POST scheduling/job/views/": lambda world: _post(
        world, "scheduling/job/views/", {"name": "mine", "q": "state:discarded"}
    ),
    "POST scheduling/job/views/{view}/rename/": lambda world: _post(
        world, f"scheduling/job/views/{world.own['view']}/rename/", {"name": "theirs"}
    ),
    "POST scheduling/job/views/{view}/forget/": lambda world: _post(
        world, f"scheduling/job/views/{world.own['view']}/forget/", {}
    ),
    "POST scheduling/deadletter/{letter}/requeue-edited/": lambda world: _post(
        world, f"scheduling/deadletter/{world.own['letter']}/requeue-edited/", {"payload": "{}", "reason": "x"}
    ),
    "POST scheduling/job/submit/": lambda world: _post(
        world, "scheduling/job/submit/", {"tenant": acme().pk, "kind": "noop", "payload": "{}"}
    ),
    "POST scheduling/job/{job}/notes/": lambda world: _post(
        world, f"scheduling/job/{world.own['job']}/notes/", {"text": "seen"}
    ),
    "POST export/errors/": lambda world: _post(world, "export/errors/", {"format": "csv"}),
    "POST tenants/tenantsettings/of/{tenant}/": _change_settings,
    "POST tenants/tenant/leave/": _leave_view,
    "POST scheduling/upkeeprun/run/partitions/": lambda world: _post(world, "scheduling/upkeeprun/run/partitions/", {}),
    "POST scheduling/tenantupkeeprun/verify/": lambda world: _post(world, "scheduling/tenantupkeeprun/verify/", {}),
}
# Routes of the console that change nothing, as `tests/access/table.py` writes them.
CONSOLE_READS = (
    # Of a log-in that has begun, and of the provider: tests/integration/tenants/identity/ has their entries.
    "sign-in/password/",
    "sign-in/second-factor/",
    "sign-in/second-factor/authenticate/",
    "sign-in/second-factor/recovery-codes/",
    "sign-in/second-factor/recovery-codes/download/",
    "sign-in/second-factor/keys/",
    "sign-in/second-factor/keys/reauthenticate/",
    "sign-in/oidc/",
    "sign-in/oidc/callback/",
    "correlation/",
    "wait/",
    "heat-map/",
    "heat-map/part/",
    "logs/",
    "logs/lines/",
    "logs/summary/",
    "failures/",
    "failures/{fingerprint}/",
    "scheduling/jobtemplate/{template}/parameters/",
    "scheduling/jobtemplate/content/",
    "scheduling/schedule/payload/",
    "scheduling/",
    "",
    "overview/",
    "overview/shares/",
    "overview/kinds/",
    "fairness/",
    "fairness/part/",
    "scheduling/cfsplan/{cfs_plan}/what-if/",
    "tenants/plan/{plan}/what-if/",
    "roles/",
    "diagnosis/",
    "scheduling/job/payload/",
    "scheduling/job/submit/preview/",
    "scheduling/alert/open/",
    "scheduling/alertrule/preview/",
    "scheduling/schedule/preview/",
    "scheduling/job/{job}/log/",
    "scheduling/job/{job}/log/download/",
    "search/",
    "jsi18n/",
    "password_change/done/",
    "autocomplete/",
    "r/1/1/",
    "scheduling/job/{job}/body/",
    "scheduling/bulkoperation/{bulk}/part/",
    "scheduling/queue/rows/",
    "scheduling/queue/{queue}/now/",
    "scheduling/worker/rows/",
    "scheduling/worker/{worker}/now/",
    "tenants/tenant/{tenant}/now/",
    "scheduling/job/facets/",
    "scheduling/job/news/",
    "scheduling/tenantupkeeprun/{upkeep_run}/now/",
    "rag_pipeline/pipelinerun/{pipeline_run}/part/",
    "retrieval/dataset/{dataset}/search/",
    "retrieval/document/preview/{dataset}/",
    "retrieval/chunk/of/{document}/text/",
    "document_evaluation/evaluation/{evaluation}/comparison/",
    "workflow_execution/approval/pending/",
    "workflow_execution/workflow/{workflow}/versions/1/",
    "job-kinds/",
    "workflow_storage/workflowrun/{workflow_run}/body/",
)


def _import_templates(world: World) -> list[str]:
    file = Path(settings.MEDIA_ROOT) / "templates.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("templates: [{name: imported, content: {kind: noop}}]")
    return [str(file), "--tenant", "acme"]


def _index(world: World) -> list[str]:
    folder = Path(settings.MEDIA_ROOT) / "to-index"
    folder.mkdir(parents=True)
    (folder / "c.txt").write_text("three")
    return [str(folder), "--tenant", "acme", "--dataset", "handbook", "--no-wait"]


def _evaluate(world: World) -> list[str]:
    file = Path(settings.MEDIA_ROOT) / "questions.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_QUESTIONS)
    return ["handbook", str(file), "--tenant", "acme", "--no-wait"]


# The ticked row of an act on ticked rows, by a name of the world.
TICKED = {
    "tenants.accessreviewline keep_selected": "access_line",
    "scheduling.deadletter requeue_selected": "letter",
    "scheduling.job retry_selected": "job",
    "scheduling.job cancel_selected": "waiting",
}
# Arguments of a command.
COMMANDS: dict[str, Callable[[World], list[str]]] = {
    "backfill_schedule": lambda world: [
        str(world.own["schedule"]),
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-02T00:00:00Z",
    ],
    "drain": lambda world: ["queue", "dataset", "--reason", "x"],
    "pause": lambda world: ["queue", "dataset", "--reason", "x"],
    "resume": lambda world: ["queue", "dataset"],
    "override_controls": lambda world: [str(_job_held_by_control(world)), "--reason", "x"],
    "access_reviews": lambda world: ["close", str(_decided_review(world))],
    "approvals": lambda world: ["approve", str(world.own["approval_request"])],
    "run_schedule": lambda world: [str(world.own["schedule"])],
    "set_secret": lambda world: ["acme", "new", "--host", "api.example.com", "--reason", "x"],
    "set_tenant_limit": lambda world: ["acme", "submit_burst", "7", "--reason", "x"],
    "tenant_settings": lambda world: ["acme", "--set", "timezone=Asia/Tokyo"],
    "bulk_jobs": lambda world: ["kind:noop", "cancel", "--tenant", "acme", "--reason", "x", "--no-wait"],
    "cancel_jobs": lambda world: ["kind:noop", "--tenant", "acme", "--reason", "x", "--no-wait"],
    "change_password": lambda world: ["newcomer", "--password-stdin", "--reason", "x"],
    "create_platform_admin": lambda world: ["nadia", "--password-stdin", "--reason", "x"],
    "create_queue": lambda world: ["typed", "--pool", "default", "--reason", "x"],
    "create_tenant": lambda world: ["typed", "--plan", "team"],
    "create_worker_pool": lambda world: ["typed", "--reason", "x"],
    "encrypt_stored_values": lambda world: [],
    "rotate_encryption_keys": lambda world: ["--new-data-keys", "--tenant", "acme"],
    "erase_tenant": lambda world: ["acme", "--reason", "x", "--confirm", "acme"],
    "grant_platform_role": lambda world: ["newcomer", "auditor"],
    "import_periodic_tasks": lambda world: [],
    "evaluate_dataset": _evaluate,
    "index_documents": _index,
    "issue_api_key": lambda world: ["acme", "--scope", "developer"],
    "add_member": lambda world: ["acme", "newcomer"],
    "move_backlog": lambda world: ["--reason", "x"],
    "versions": lambda world: ["plan", "team", "--rollback", "1", "--reason", "x"],
    "reinstate_tenant": lambda world: ["acme", "--reason", "x"],
    "prune_finished": lambda world: ["--tenant", "acme", "--older-than-days", "400"],
    "requeue_dead_letters": lambda world: ["kind:noop", "--tenant", "acme", "--reason", "x", "--no-wait"],
    "ack_alert": lambda world: [str(world.own["alert"])],
    "investigate": lambda world: [str(world.own["alert"])],
    "silence_alert": lambda world: [str(world.own["alert"]), "--reason", "x"],
    "backup": lambda world: ["--to", str(Path(settings.MEDIA_ROOT) / "backups")],
    "compliance_report": lambda world: [
        *("--template", "soc2", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z", "--allow-empty"),
        *("--output", str(Path(settings.MEDIA_ROOT) / "evidence")),
    ],
    "snapshot": lambda world: [str(Path(settings.MEDIA_ROOT) / "states")],
    "load_state": lambda world: ["--force", "busy", "--reason", "x"],
    "force_circuit": lambda world: ["acme", "noop", "--state", "open", "--reason", "x"],
    "reset_circuit": lambda world: ["acme", "noop", "--reason", "x"],
    "retry_jobs": lambda world: ["state:discarded", "--tenant", "acme", "--reason", "x", "--no-wait"],
    "revoke_api_key": lambda world: [in_acme(lambda: ApiKey.objects.get(pk=world.own["key"]).prefix)],
    "promote": lambda world: [],
    "run_upkeep": lambda world: ["partitions"],
    "suspend_tenant": lambda world: ["acme", "--reason", "x"],
    "unlock_login": lambda world: ["viewer", "--reason", "x"],
    "remove_second_factor": lambda world: ["viewer", "--reason", "x"],
    "verify": lambda world: ["counters", "--repair", "--reason", "x"],
    "run_template": lambda world: ["acme/greeting"],
    "import_templates": _import_templates,
    "submit_job": lambda world: ["noop", "--tenant", "acme", "--payload", "{}"],
}
