"""The URLs of the sample: every route that answers GET, and every POST that reads."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.apps import apps
from django.contrib.admindocs.views import simplify_regex
from django.db.models.functions import Now
from django.urls import URLPattern, URLResolver, get_resolver

from scheduling.models import JobLog, TenantUpkeepRun
from scheduling.upkeep import registry
from tenants.console.site import console_site
from tenants.context import all_tenants
from tenants.models import ApiKey, Tenant
from workloads.workflows.records.models import NodeRun

API, CONSOLE = "api/v1/", "admin/"
# A what-if is answered in 300 ms: two replays of up to 25,000 jobs each.
WHAT_IF_MS = 300.0
# The schema is built once for each generated client; a stream stays open, and a long poll takes as long as the request
# says; the rest redirects, ends a session, or is one of Django's pages that has no link.
NOT_ASKED = {"schema", "docs", "logout", "view_on_site", "autocomplete", "jobs-stream", "job-stream", "job-wait"}
# Queries of lists, by the name of the route; each list is also requested without a query.
_NARROWED = """
job-list state=discarded state=available state=cancelled kind=document_indexing tag=night tag=absent error=ParseError
job-list error=absent fair_key=absent created_before={noon} q=-state:completed%20error:ParseError%20age:%3C1d
job-list state=quarantined&kind=sleep batch={batch}
dead-letter-list error=ParseError error=absent requeued=true
audit-log-list action=queue.paused actor_kind=user created_before={noon}
fairness-list range=6h range=day
scheduling_job_changelist state=quarantined state=suspended kind=noop kind=rag_pipeline tenant=volume-7 q={batch}
scheduling_job_changelist tenant=volume-0&kind=rag_pipeline q=state:discarded%20error:ParseError%20age:%3E1h
scheduling_job_changelist q=-state:completed%20kind:rag_pipeline q=error:absent
scheduling_job_facets q=state:discarded q=kind:rag_pipeline%20-state:completed q=tenant:volume-7
scheduling_job_news since=00000000-0000-7000-8000-000000000000 q=tag:absent&since={batch}
scheduling_execution_changelist outcome=failed outcome=crashed kind=noop
scheduling_deadletter_changelist requeued=yes kind=rag_pipeline
scheduling_schedulefire_changelist q={schedule}
tenants_auditlogentry_changelist action=queue.paused
fairness range=day range=day&view=table tenant=volume-0
retrieval_dataset_search query=words
"""
NARROWED: defaultdict[str, list[str]] = defaultdict(list)
for _name, *_queries in map(str.split, _NARROWED.strip().splitlines()):
    NARROWED[_name] += _queries
# By the first part of a route of the API: the model whose newest row is its parameter, and its column.
_RESOURCES = """
jobs:scheduling.job executions:scheduling.execution batches:scheduling.batch bulk-operations:scheduling.bulkoperation
dead-letters:scheduling.deadletter errors:scheduling.joberror:error_fingerprint schedules:scheduling.schedule
datasets:retrieval.dataset documents:retrieval.document members:tenants.membership api-keys:tenants.apikey
audit-log:tenants.auditlogentry upkeep-runs:scheduling.tenantupkeeprun plans:tenants.plan:slug
cfs-plans:scheduling.cfsplan:name queues:scheduling.queue:name pools:scheduling.workerpool:name
files:files.uploadedfile workflows:workflow_execution.workflow workflow-runs:workflow_storage.noderun:run_id
approvals:workflow_execution.approval pipelines:rag_pipeline.pipeline pipeline-runs:rag_pipeline.pipelinerun
entities:rag_pipeline.pipelineentity webhooks:webhooks.webhook workers:scheduling.worker
job-templates:scheduling.jobtemplate routing-rules:scheduling.routingrule:position invitations:tenants.invitation
secrets:tenants.tenantsecret tiers:tenants.tier:slug
"""
# The key of no row, in a form that every route accepts.
ABSENT = "00000000-0000-7000-8000-000000000000"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Address:
    """A request: GET or, with a body, POST, as JSON to the API and as a form to the console."""

    path: str
    body: Mapping[str, Any] | None = None
    # Milliseconds; None: the target of all pages.
    budget_ms: float | None = None
    # An action is answered by a redirect to its page.
    leads_on: bool = False
    # Called before each request, untimed.
    prepare: Callable[[], None] | None = None


class Samples:
    """Keys of rows of the current scope: the newest, and for jobs also one with a log."""

    def __init__(self) -> None:
        rows = (each.split(":") for each in _RESOURCES.split())
        found = {resource: _newest(apps.get_model(label), *column) for resource, label, *column in rows}
        logged = _newest(JobLog, "job_id")
        # Values of the parameter of a route of the API, by the route's first part.
        self.by_resource: Mapping[str, Sequence[Any]] = {
            **found,
            "jobs": found["jobs"] + logged,
            "tenants": ["volume-0"],
            "platform-keys": list(ApiKey.objects.filter(tenant=None).values_list("pk", flat=True)[:1]),
            "upkeep": [registry.tasks()[0].name],
            "kinds": ["noop"],
            "job-kinds": ["noop"],
        }
        # By the name of a route of the console that belongs to no model, or needs another model's row.
        self.by_name = {
            "error_occurrences": found["errors"],
            "app_list": ["scheduling"],
            "tenants_platformkey_change": list(ApiKey.objects.filter(tenant=None).values_list("pk", flat=True)[:1]),
            "tenants_tenantsettings_of": list(Tenant.objects.filter(slug="volume-0").values_list("pk", flat=True)),
            **dict.fromkeys([f"scheduling_job_{page}" for page in ("change", "body", "log")], self.by_resource["jobs"]),
            "scheduling_job_log_download": logged,
            "workflow_storage_workflowrun_change": found["workflow-runs"],
            "workflow_storage_workflowrun_body": found["workflow-runs"],
        }
        self.node_run = next(iter(_newest(NodeRun)), ABSENT)
        self.words = {
            "noon": f"{datetime.now(UTC) - timedelta(hours=12):%Y-%m-%dT%H:%M:%SZ}",
            "batch": next(iter(found["batches"]), ABSENT),
            "schedule": next(iter(found["schedules"]), ABSENT),
        }


def _newest(model: Any, column: str = "pk") -> list[Any]:
    return list(model._default_manager.order_by("-pk").values_list(column, flat=True)[:1])


def end_tenant_runs() -> None:
    """End the open runs, so that the next request starts one."""
    with all_tenants():
        TenantUpkeepRun.objects.filter(finished_at=None).update(outcome=TenantUpkeepRun.Outcome.OK, finished_at=Now())


def api_addresses() -> Iterator[Address]:
    """Yield every GET of the API, and the POSTs that read."""
    samples = Samples()
    for route, pattern in _routes(API):
        actions = getattr(pattern.callback, "actions", None)
        if pattern.name in NOT_ASKED or (actions is not None and "get" not in actions):
            continue
        resource = route.removeprefix(API).split("/")[0]
        yield from _fill(route, pattern.name, samples.by_resource.get(resource, ()), samples)
    (schedule,), (dataset,) = samples.by_resource["schedules"], samples.by_resource["datasets"]
    yesterday, now = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC)
    yield Address("/api/v1/upkeep-runs/", {"task": "verify_audit"}, prepare=end_tenant_runs)
    yield Address("/api/v1/cfs-plans/what-if/", {"slots": 3}, WHAT_IF_MS)
    yield Address("/api/v1/routing-rules/10/")
    yield Address("/api/v1/routing-rules/test/", {"kind": "noop", "tier": "team"})
    yield Address("/api/v1/schedules/preview/", {"cron": "0 3 * * *"})
    span = {"from": yesterday.isoformat(), "to": now.isoformat(), "dry_run": True}
    yield Address(f"/api/v1/schedules/{schedule}/backfill/", span)
    yield Address(f"/api/v1/datasets/{dataset}/search/", {"query": "words"})
    yield Address("/api/v1/usage/submit_burst/override/", {"value": 1_000, "reason": "a trial"})


def console_addresses() -> Iterator[Address]:
    """Yield every page of the console, and the page fragments that are requested by POST."""
    samples = Samples()
    registered = filter(console_site.is_registered, apps.get_models())
    models = {model._meta.label_lower.replace(".", "_"): model for model in registered}
    rows = {f"{name}_": _newest(model) for name, model in models.items()}
    for route, pattern in _routes(CONSOLE):
        # Django's own redirects and its catch-all have no name; actions on a row are no pages.
        if pattern.name is None or pattern.name in NOT_ASKED or re.search(r"_(act|delete|history|run)$", pattern.name):
            continue
        owner = max((name for name in rows if pattern.name.startswith(name)), key=len, default="")
        values = samples.by_name.get(pattern.name, rows.get(owner, []))
        if pattern.name == f"{owner}change" and not values:
            continue
        yield from _fill(route, pattern.name, values, samples)
    (plan,), (cfs_plan,) = rows["tenants_plan_"], rows["scheduling_cfsplan_"]
    yield Address("/admin/scheduling/tenantupkeeprun/verify/", {}, leads_on=True, prepare=end_tenant_runs)
    yield Address(f"/admin/tenants/plan/{plan}/what-if/", {}, WHAT_IF_MS)
    yield Address(f"/admin/scheduling/cfsplan/{cfs_plan}/what-if/", {}, WHAT_IF_MS)
    yield Address("/admin/scheduling/schedule/preview/", {"cron": "0 3 * * *", "timezone": "UTC"})


def _routes(prefix: str, patterns: Any = None, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield each route below the prefix, with its parameters as <name>."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(pattern.pattern).lstrip("^")
        if isinstance(pattern, URLResolver):
            yield from _routes(prefix, pattern.url_patterns, route)
        elif route.startswith(prefix):
            yield simplify_regex(route).lstrip("/"), pattern


def _fill(route: str, name: str, values: Sequence[Any], samples: Samples) -> Iterator[Address]:
    """Yield the URLs of a route. A parameter without a row is requested all the same, and answered 404."""
    if not _PARAMETER.search(route):
        values = [""]
    # Definitions have versions by number, and the first one exists.
    route = route.replace("versions/<number>/", "versions/1/")
    if "<node_run_id>" in route:
        route = route.replace("<node_run_id>", str(samples.node_run))
    for value in values or [ABSENT]:
        path = "/" + _PARAMETER.sub(str(value), route)
        yield Address(path)
        for query in NARROWED.get(name, ()):
            yield Address(f"{path}?{query.format(**samples.words)}")
