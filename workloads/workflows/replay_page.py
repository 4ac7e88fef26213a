"""The console's page that replays a run: it shows what is kept and what is run again, and submits the new run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext

from tenants.access.caller import access_of
from tenants.context import tenant_context
from tenants.exceptions import DomainError
from tenants.models import Tenant
from workloads.workflows.definition.graph import Graph
from workloads.workflows.exceptions import OutputsInvalidError, RunInputsInvalidError
from workloads.workflows.forms import ReplayForm
from workloads.workflows.queries import get_pinned
from workloads.workflows.records.exceptions import WorkflowRunNotFoundError
from workloads.workflows.records.queries import get_run
from workloads.workflows.running.replays import Replay, read_replay
from workloads.workflows.runs import replay_run

# Beside which field a refusal is shown; others are shown beside the node.
_FIELDS = {RunInputsInvalidError: "inputs", OutputsInvalidError: "outputs"}


def show_replay(admin: ModelAdmin[Any], request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Show the form; on POST, preview what is kept, or submit the replay and redirect to its run."""
    try:
        run = get_run(run_id)
    except WorkflowRunNotFoundError as error:
        raise Http404(error.detail) from error
    pinned = get_pinned(run.workflow_id, run.workflow_version)
    nodes = [] if pinned is None or run.is_external else Graph.read(pinned.content).scopes[None]
    titles = {node.id: f"{node.title} ({node.id})" if node.title else node.id for node in nodes}
    form = ReplayForm(titles.items(), request.POST or None)
    preview: Replay | None = None
    if request.method == "POST" and form.is_valid():
        if "_preview" in request.POST:
            preview = _preview(run, form)
        elif (new := _submit(request, run, form)) is not None:
            messages.success(request, gettext("The run is replayed; this is the new run."))
            return HttpResponseRedirect(reverse("admin:workflow_storage_workflowrun_change", args=[new]))
    context = {
        **admin.admin_site.each_context(request),
        "title": gettext("Replay workflow run %(pk)s") % {"pk": run.pk},
        "opts": admin.opts,
        "run": run,
        "form": form,
        "nodes": preview and [(titles.get(node.id, node.id), node.id in preview.kept) for node in nodes],
    }
    return TemplateResponse(request, "workflow_execution/admin/replay.html", context)


def _preview(run: Any, form: ReplayForm) -> Replay | None:
    try:
        with tenant_context(run.tenant_id):
            return read_replay(run.pk, form.cleaned_data["node"], form.cleaned_data["outputs"] or {})
    except DomainError as refusal:
        _show(form, refusal)
        return None


def _submit(request: HttpRequest, run: Any, form: ReplayForm) -> UUID | None:
    tenant = Tenant.objects.select_related("plan").get(pk=run.tenant_id)
    try:
        submission, _ = replay_run(
            tenant=tenant,
            run_id=run.pk,
            is_rate_limited=access_of(request).platform_role is None,
            **form.cleaned_data,
        )
    except DomainError as refusal:
        _show(form, refusal)
        return None
    new: UUID = submission.job.pk
    return new


def _show(form: ReplayForm, refusal: DomainError) -> None:
    for message in [fault["detail"] for fault in refusal.errors] or [refusal.detail]:
        form.add_error(_FIELDS.get(type(refusal), "node"), message)
