"""A world with one user per role and a row of each tenant behind every address."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.alerts import config
from scheduling.bulk.starting import start_bulk_operation
from scheduling.controls.service import CONTROLS
from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import LogWrite, append_job_logs
from scheduling.identity.configured import TENANT_ROLES
from scheduling.inbox.service import EVENT_TRIGGERS, receive_event
from scheduling.investigation.service import investigate
from scheduling.jobs.job_templates.service import TemplateContent, create_template
from scheduling.jobs.saved_views.service import save_view
from scheduling.models import (
    Alert,
    AlertMessage,
    AlertOwner,
    AlertRoute,
    AlertRule,
    AlertSilence,
    ArchiveObject,
    Backup,
    BackupPlan,
    BulkOperation,
    CFSPlan,
    Compensation,
    Contact,
    ContactGroup,
    ControlRule,
    EventTrigger,
    EvidencePack,
    EvidenceSchedule,
    Investigation,
    JobError,
    LoadState,
    Objective,
    OutboxMessage,
    OutboxRoute,
    PriorityRule,
    Queue,
    SheddingRule,
)
from scheduling.objectives.service import OBJECTIVES
from scheduling.outbox.service import OUTBOX_ROUTES
from scheduling.schedules.definitions import create_schedule
from scheduling.upkeep.tenant_runs import AUDIT_TASK, request_tenant_run
from tenants.access import api_keys
from tenants.access.invitations import invite
from tenants.access.memberships import add_member
from tenants.access.people import grant_platform_role
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.holds.service import place_hold
from tenants.models import (
    AccessReviewLine,
    ApprovalRequest,
    ApprovalRule,
    AuditLogEntry,
    ClaimRule,
    Membership,
    PlatformKey,
    Role,
    Tenant,
    TenantRole,
)
from tenants.reviews.service import open_review
from tenants.secrets.service import create_secret
from tenants.tenancy.service import create_tenant
from tests.integration.console.conftest import Work, make_work
from tests.keys import issue_api_key
from tests.platform_settings import override_platform_settings
from workloads.documents.evaluation.models import Evaluation
from workloads.documents.evaluation.service import describe
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.service import create_dataset
from workloads.documents.sources.models import ContentSource, SourceItem
from workloads.files.models import Artifact
from workloads.files.service import upload_files
from workloads.model_endpoints.endpoints import ModelConfiguration
from workloads.model_endpoints.service import create_endpoint
from workloads.model_endpoints.usage import AnsweredRequest, record_usage
from workloads.pipelines.models import PipelineEntity
from workloads.pipelines.node_types import chain
from workloads.pipelines.runs import start_run
from workloads.pipelines.service import create_pipeline
from workloads.triggers.models import TriggerDelivery, WebhookTrigger
from workloads.triggers.service import TRIGGERS
from workloads.webhooks.endpoints import record_attempt
from workloads.webhooks.service import create_webhook
from workloads.workflows.models import Approval
from workloads.workflows.records.models import NodeRun
from workloads.workflows.records.records import NodeRecord, RecordState, RunRecord
from workloads.workflows.records.repository import save_records
from workloads.workflows.service import create_workflow

PLATFORM = ("auditor", "operator", "admin")
KEYS = {"key": None, "one_scope": ["jobs.view"]}
DEFINITION = {
    "nodes": [{"id": "start", "type": "start"}, {"id": "end", "type": "end"}],
    "edges": [{"from": "start", "to": "end"}],
}
MASTER_KEY = base64.b64encode(b"m" * 32).decode()
PASSWORD = "the password of the cast"


@dataclass(frozen=True, slots=True)
class World:
    """Clients by role; ids by placeholder, of acme (own) and of globex (foreign); one row of each page's model."""

    api: dict[str, APIClient]
    console: dict[str, Client]
    own: dict[str, Any]
    foreign: dict[str, Any]
    own_rows: dict[str, Any]
    foreign_rows: dict[str, Any]


# The line of a review that a body of the table of access names.
REVIEWED = UUID("0199d0a4-7c1e-7aaa-8000-0123456789ab")
# It is disabled, so that it holds no job of the world.
CONTROL = {
    "name": "labels",
    "checkpoint": "submission",
    "rule": "required_tags",
    "parameters": {"tags": ["soon"]},
    "is_enabled": False,
}


def make_world() -> World:
    """Create two tenants with the same work, and the users of `tests.access.table.ROLES`."""
    acme, globex = create_tenant(slug="acme", plan="team"), create_tenant(slug="globex", plan="team")
    User.objects.create_user("newcomer")
    names = ("outsider", *Role.values, *PLATFORM)
    users = {name: User.objects.create_user(name, password=PASSWORD) for name in names}
    for role in Role:
        add_member(tenant=acme, user=users[role], role=role)
    for role in PLATFORM:
        grant_platform_role(user=users[role], role=role)
    add_member(tenant=globex, user=User.objects.create_user("greta"), role=Role.OWNER)
    add_member(tenant=globex, user=User.objects.create_user("gustav"), role=Role.VIEWER)
    own, foreign = _make_rows(acme, users["viewer"]), _make_rows(globex, User.objects.get(username="gustav"))
    own["platform_key"] = api_keys.issue_api_key(tenant=None, name="saas", scopes=["tenants.manage"]).key.pk
    with all_tenants():
        own["claim_rule"] = ClaimRule.objects.create(claim="groups", value="auditors", role="auditor").pk
        own["approval_rule"] = ApprovalRule.objects.create(act="restore").pk
        own["shedding_rule"] = SheddingRule.objects.values_list("pk", flat=True).first()
        own["priority_rule"] = PriorityRule.objects.create(name="first", position=1, kind="noop", offset_seconds=30).pk
        plan = BackupPlan.objects.create(name="nightly", target="/nightly")
        Backup.objects.create(plan=plan, name="20260101T000000Z-00000000", target=plan.target, taken_at=timezone.now())
        own["backup_plan"] = plan.pk
    platform_rows = (
        "platform_key",
        "claim_rule",
        "approval_rule",
        "shedding_rule",
        "priority_rule",
        "backup_plan",
        "hold",
    )
    foreign |= {name: uuid7() for name in platform_rows}
    return World(
        api=_api_clients(acme, users),
        console=_console_clients(users),
        own=own,
        foreign=foreign,
        own_rows=_rows_by_page(acme),
        foreign_rows=_rows_by_page(globex),
    )


def _make_rows(tenant: Tenant, member: User) -> dict[str, Any]:
    work = make_work(tenant)
    fields = [{"name": "year", "type": "number"}]
    dataset = create_dataset(tenant=tenant, name="handbook", metadata_fields=fields)
    upload = upload_documents(tenant=tenant, dataset=dataset, files=[SimpleUploadedFile("a.txt", b"one")])
    file = upload_files(tenant=tenant, files=[SimpleUploadedFile("c.txt", b"three")])[0]
    with tenant_context(tenant):
        evaluation = Evaluation.objects.create(
            tenant=tenant, dataset=dataset, settings=describe(dataset), questions=[], questions_total=0,
            job_id=work.failed.pk, completed_at=timezone.now(),
        )  # fmt: skip
        content_source = ContentSource.objects.create(
            tenant=tenant, dataset=dataset, name="handbook", connector="sitemap", config={"url": "https://x.example/"}
        )
        item = SourceItem.objects.create(
            tenant=tenant, source=content_source, dataset=dataset, key="https://x.example/a", seen_in=1
        )
        facts = {"size_bytes": file.size_bytes, "sha256": file.sha256, "key": file.key}
        artifact = Artifact.objects.create(
            tenant=tenant, job_id=work.failed.pk, name="a.csv", content_type="text/csv", **facts
        )
    template = create_template(
        tenant=tenant, name="greeting", content=TemplateContent(kind="noop"), runners=[Role.VIEWER]
    )
    workflow = create_workflow(tenant=tenant, name="greeting", definition=DEFINITION)
    with tenant_context(tenant):
        approval = Approval.objects.create(
            tenant=tenant,
            workflow=workflow,
            job_id=work.waiting.pk,
            node="ok",
            title="Send it?",
            expires_at=timezone.now() + timedelta(days=1),
        )
    source = {"type": "text", "name": "d.txt", "text": "four"}
    definition = chain(datasource={"sources": [source]}, load={"dataset": "handbook"})
    pipeline = create_pipeline(tenant=tenant, name="pages", definition=definition)
    pipeline_run = start_run(tenant=tenant, pipeline_id=pipeline.pk)
    key = issue_api_key(tenant=tenant, name="spare").key
    invitation = invite(tenant=tenant, invitee="guest", role=Role.VIEWER, link_of=str).invitation
    run, node = _store_run(work, workflow.pk)
    webhook = create_webhook(tenant=tenant, name="ops", url="https://example.com/hook").webhook
    record_attempt(
        tenant_id=tenant.pk,
        webhook_id=webhook.pk,
        job_id=work.failed.pk,
        event="batch.ended",
        attempt=1,
        seconds=0.1,
        status=200,
    )
    model_endpoint = create_endpoint(tenant=tenant, name="spare", url="https://example.com/v1")
    with tenant_context(tenant):
        own = ModelConfiguration("https://example.com/v1", "m", endpoint="spare")
        record_usage(tenant.pk, [AnsweredRequest(own, 3, 4)])
    alerting = _make_alerting(tenant)
    with override_platform_settings(ENCRYPTION_MASTER_KEYS=[MASTER_KEY]):
        secret = create_secret(tenant=tenant, name="api", value="the secret of the world", hosts=["api.example.com"])
    schedule = create_schedule(tenant=tenant, values={"name": "nightly", "kind": "noop", "cron": "30 2 * * *"})
    with tenant_context(tenant):
        objective = OBJECTIVES.save(Objective(), {"name": "soon"})
        control = CONTROLS.save(ControlRule(), CONTROL)
        investigation = investigate(Investigation(kind="noop", began_at=timezone.now()))
        role = TENANT_ROLES.save(TenantRole(), {"name": "reviewer", "rights": ["jobs.view", "logs.view"]})
        view = save_view(owner=member, name="dead", text="state:discarded", is_shared=True)
    with all_tenants():
        entry = AuditLogEntry.objects.filter(tenant=tenant).first()
        membership = Membership.objects.get(tenant=tenant, user=member)
        entity = PipelineEntity.objects.get(run=pipeline_run)
    assert entry is not None
    line = make_line("seen", "info", {})
    append_job_logs([LogWrite(tenant.pk, work.failed.pk, work.execution.pk, attempt=1, lines=[line])])
    return {
        "job": work.failed.pk,
        "line": line.id,
        "error": _raise_error(work),
        "waiting": work.waiting.pk,
        "execution": work.execution.pk,
        "letter": work.letter.pk,
        "batch": work.failed.batch_id,
        "dataset": dataset.pk,
        "document": upload.files[0].document.pk,
        "evaluation": evaluation.pk,
        "source": content_source.pk,
        "source_item": item.pk,
        "file": file.pk,
        "artifact": artifact.pk,
        "template": template.pk,
        "workflow": workflow.pk,
        "approval": approval.pk,
        "workflow_run": run,
        "node_run": node,
        "pipeline": pipeline.pk,
        "pipeline_run": pipeline_run.pk,
        "entity": entity.pk,
        "member": membership.pk,
        "role": role.pk,
        "key": key.pk,
        "invitation": invitation.pk,
        "entry": entry.pk,
        "bulk": _start_bulk(tenant).pk,
        "upkeep_run": request_tenant_run(name=AUDIT_TASK, tenant=tenant).run.pk,
        "schedule": schedule.pk,
        "view": view.pk,
        "webhook": webhook.pk,
        "model_endpoint": model_endpoint.pk,
        "objective": objective.pk,
        "control": control.pk,
        **_make_outside(tenant, work),
        "investigation": investigation.pk,
        **alerting,
        "secret": secret.pk,
        "user": member.pk,
        "tenant": tenant.pk,
        "plan": tenant.plan_id,
        "cfs_plan": CFSPlan.objects.get(is_active=True).pk,
        "queue": Queue.objects.get(name="dataset").pk,
    }


def _make_outside(tenant: Tenant, work: Work) -> dict[str, Any]:
    """Create a route of the outbox with a lost message, a trigger with an event, and a stuck compensation."""
    # What is stuck would be an alert on every page, and its delivery a tenant.
    with all_tenants():
        AlertRule.objects.filter(measure__in=("outbox_dead", "compensations_stuck")).update(is_enabled=False)
    with tenant_context(tenant):
        route = OUTBOX_ROUTES.save(
            OutboxRoute(), {"name": "orders", "topic": "order.*", "adapter": "webhook", "target": "ops"}
        )
        message = OutboxMessage.objects.create(
            tenant=tenant, route=route, job_id=work.failed.pk, topic="order.paid", body={"order": 1}, state="dead"
        )
        ArchiveObject.objects.create(tenant=tenant, key="a.jsonl.gz", stored_at=timezone.now())
        undo = Compensation.objects.create(
            tenant=tenant, owner_type="batch", owner_id=work.failed.batch_id, work=str(work.failed.pk), kind="noop",
            payload={}, state="needs_attention", done_at=timezone.now(),
        )  # fmt: skip
        webhook_trigger = TRIGGERS.save(WebhookTrigger(), {"name": "orders", "kind": "noop"})
        TriggerDelivery.objects.create(tenant=tenant, trigger=webhook_trigger, status=202, job_id=work.failed.pk)
        trigger = EVENT_TRIGGERS.save(EventTrigger(), {"name": "orders", "topic": "order.paid", "kind": "noop"})
    event = receive_event(tenant=tenant, topic="order.sent", source="shop", event_id="1", data={}).event
    return {
        "outbox_route": route.pk,
        "outbox_message": message.pk,
        "event_trigger": trigger.pk,
        "webhook_trigger": webhook_trigger.pk,
        "event": event.pk,
        "compensation": undo.pk,
        "hold": place_hold(tenant=tenant, reason="case 7").pk,
        "approval_request": _request_approval(tenant),
        **_open_review(tenant),
    }


def _open_review(tenant: Tenant) -> dict[str, Any]:
    """Open an access review; the line of acme's key has the id that the table of access names."""
    review = open_review(tenant=tenant)
    with tenant_context(tenant):
        lines = AccessReviewLine.objects.filter(review=review, kind="key")
        if tenant.slug == "acme":
            lines.update(id=REVIEWED)
        return {"access_review": review.pk, "access_line": lines.get().pk}


def _request_approval(tenant: Tenant) -> UUID:
    """Create a request whose act is repeated by a person who does not exist, and return its id."""
    with all_tenants():
        return ApprovalRequest.objects.create(
            tenant=tenant, act="bulk", arguments={}, digest="d", preview="cancel", is_repeated=True,
            requester="user:0", requested_by="user:greta", expires_at=timezone.now() + timedelta(days=1),
        ).pk  # fmt: skip


def _make_alerting(tenant: Tenant) -> dict[str, Any]:
    """Create a contact group with a contact, a route, an owner, a silence and a message, and a rule with an alert."""
    with tenant_context(tenant):
        group = config.GROUPS.save(ContactGroup(), {"name": "ops"})
        values = {"channel": "webhook", "target": "https://example.com/alerts", "group": group}
        contact = config.CONTACTS.save(Contact(), values)
        ends_at = timezone.now() + timedelta(days=1)
        rows: dict[str, Any] = {
            "group": group,
            "contact": contact,
            "route": config.ROUTES.save(AlertRoute(), {"position": 1, "group": group}),
            "alert_owner": config.OWNERS.save(AlertOwner(), {"target": "queue", "name": "dataset", "group": group}),
            "silence": config.SILENCES.save(AlertSilence(), {"only_kind": "noop", "ends_at": ends_at, "reason": "x"}),
        }
    with all_tenants():
        LoadState.objects.get_or_create(
            scope="platform", defaults={"since": timezone.now(), "measured_at": timezone.now()}
        )
        rows["alert_rule"] = AlertRule.objects.create(
            tenant=tenant, name="waits", measure="oldest_wait", per="tenant", comparison="gt", threshold=60
        )
        now = timezone.now()
        rows["alert"] = Alert.objects.create(
            tenant=tenant,
            rule=rows["alert_rule"],
            rule_name="waits",
            severity="warning",
            object_key=f"tenant:{tenant.pk}",
            object={"type": "tenant", "id": str(tenant.pk), "label": tenant.slug, "parents": []},
            state="firing",
            value=61,
            peak=61,
            threshold=60,
            clear_held_seconds=5,
            pending_at=now,
            fired_at=now,
            changed_at=now,
            evaluated_at=now,
        )
        rows["message"] = AlertMessage.objects.create(tenant=tenant, contact=contact, what="test", body={})
        rows["evidence_schedule"] = EvidenceSchedule.objects.create(
            tenant=tenant, name="monthly", template="soc2", group=group, is_empty_allowed=True
        )
        rows["evidence_pack"] = EvidencePack.objects.create(
            tenant=tenant, template="soc2", since=now - timedelta(days=1), until=now
        )
    return {name: row.pk for name, row in rows.items()}


def _store_run(work: Work, workflow_id: UUID) -> tuple[UUID, UUID]:
    """Store a run of a workflow with one node."""
    run = RunRecord(
        run_id=uuid7(),
        tenant_id=work.tenant.pk,
        workflow_id=workflow_id,
        workflow_version=1,
        job_id=work.failed.pk,
        version=1,
        state=RecordState.FAILED,
        inputs={"question": "x"},
    )
    node = NodeRecord(run_id=run.run_id, node_id="start", version=1, node_type="start", state=RecordState.FAILED)
    with tenant_context(work.tenant):
        save_records(run, [node])
        return run.run_id, NodeRun.objects.get(run_id=run.run_id).pk


def _start_bulk(tenant: Tenant) -> BulkOperation:
    """Start a bulk operation that no dispatcher has taken up."""
    with tenant_context(tenant):
        return start_bulk_operation(
            filter_text="kind:noop", operation="reprioritise", parameters={"priority": 1}, reason="a test"
        )


def _raise_error(work: Work) -> str:
    """Store the failed job's error, which the pages of errors show by its fingerprint."""
    with all_tenants():
        error = JobError.objects.create(
            tenant=work.tenant,
            job_id=work.failed.pk,
            kind="noop",
            error_type="ParseError",
            error_fingerprint=work.letter.error_fingerprint,
            at=timezone.now(),
        )
    return error.error_fingerprint


def _api_clients(acme: Tenant, users: dict[str, User]) -> dict[str, APIClient]:
    clients = {"anonymous": APIClient()}
    for role, user in users.items():
        clients[role] = APIClient()
        clients[role].force_login(user)
    for role in PLATFORM:
        clients[role].credentials(HTTP_X_TENANT="acme")
    for role, scopes in KEYS.items():
        clients[role] = APIClient()
        issued = issue_api_key(tenant=acme, name=role, scopes=scopes)
        clients[role].credentials(HTTP_AUTHORIZATION=f"Api-Key {issued.token}")
    for client in clients.values():
        client.raise_request_exception = False
    return clients


def _console_clients(users: dict[str, User]) -> dict[str, Client]:
    clients = {role: Client(raise_request_exception=False) for role in ("anonymous", *users)}
    for role, user in users.items():
        clients[role].force_login(user)
    return clients


def _rows_by_page(tenant: Tenant) -> dict[str, Any]:
    """Return the key of a row for each page: the tenant's row if it has one, else any row, else an unused key."""
    with all_tenants():
        return {model._meta.label_lower: _key_of(model, tenant) for model in admin.site._registry}


def _key_of(model: Any, tenant: Tenant) -> Any:
    rows = model._base_manager.all()
    if model is Tenant:
        rows = rows.filter(pk=tenant.pk)
    elif model in (PlatformKey, ClaimRule):
        rows = rows.filter(tenant=None)
    elif any(field.attname == "tenant_id" for field in model._meta.concrete_fields):
        rows = rows.filter(tenant_id=tenant.pk)
    row = rows.order_by("pk").first()
    missing = uuid4() if model._meta.pk.get_internal_type() == "UUIDField" else 987_654_321
    return missing if row is None else row.pk
