"""Admin page of job templates: their content by versions, and the form that runs one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from scheduling.alerts.panels import read_panels
from scheduling.jobs.answers import mask_validation_errors
from scheduling.jobs.job_templates.forms import JobTemplateForm
from scheduling.jobs.job_templates.queries import find_templates, find_uses, may_see_content
from scheduling.jobs.job_templates.rights import require_right_to_run
from scheduling.jobs.job_templates.service import (
    TEMPLATES,
    add_version,
    create_template,
    delete_template,
    run_template,
    update_template,
)
from scheduling.jobs.list_page import list_url_of_text
from scheduling.jobs.payload_form.fields import PayloadField
from scheduling.jobs.payload_form.page import redraw
from scheduling.models import JobTemplate
from tenants.access.permissions import Permission
from tenants.audit.diffs import diff_documents
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.database.reads import first_or_raise
from tenants.exceptions import DomainError
from tenants.tenancy.changes import Difference
from tenants.versions.admin import VERSION_FIELDS, VersionsMixin, version_acts

_FACTS = ("name", "description", "runners")
_CONTENT = ("kind", "payload", "parameters", "queue", "priority", "tags", "fair_key", "max_retries")


class TemplateRunForm(forms.Form):
    """Form for the parameters of a run."""

    parameters = PayloadField(label=gettext_lazy("Parameters"), required=False)


@admin.register(JobTemplate, site=console_site)
class JobTemplateAdmin(VersionsMixin, TenantScopedAdmin):
    """Admin page of job templates. A changed content is saved as the template's next version."""

    empty_title = gettext_lazy("No templates yet")
    empty_text = gettext_lazy("A template is a job with parameters. Add one above, or use “Save as template” on a job.")
    view_permission = Permission.JOBS_VIEW
    add_permission = change_permission = Permission.TEMPLATES_MANAGE
    form = JobTemplateForm
    versioned = TEMPLATES
    rollback, withdraw = version_acts(Permission.TEMPLATES_MANAGE)
    list_display = ("name", "description", "version", "created_at")
    search_fields = ("name",)
    ordering = ("name",)
    post_actions = ("delete", "rollback", "withdraw")
    change_form_before_template = "scheduling/dashboards/parts/template_links.html"

    def get_fields(self, request: HttpRequest, obj: JobTemplate | None = None) -> Any:
        if obj is None:
            own = (*_FACTS, *_CONTENT, "reason")
            return own if self.access(request).tenant is not None else ("tenant", *own)
        if not self.has_change_permission(request):
            return (*_FACTS, "version")
        if not may_see_content(self.access(request)):
            return _FACTS
        return (*_FACTS, *_CONTENT, *VERSION_FIELDS)

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Return the form class, which offers what the caller may use in the template's tenant."""
        form: Any = super().get_form(request, obj, **kwargs)
        form.access = self.access(request)
        form.own_tenant = obj.tenant if obj is not None else form.access.tenant
        if obj is None or may_see_content(form.access):
            return form
        return type(form.__name__, (form,), dict.fromkeys((*_CONTENT, *VERSION_FIELDS)))

    def save_model(self, request: HttpRequest, obj: JobTemplate, form: Any, change: bool) -> None:
        values = form.cleaned_data
        facts = {name: values[name] for name in _FACTS}
        if not change:
            tenant = self.access(request).tenant or values["tenant"]
            obj.pk = create_template(tenant=tenant, content=form.content(), reason=values["reason"], **facts).pk
            return
        template = find_templates().get(pk=obj.pk)
        if set(_FACTS) & set(form.changed_data):
            update_template(template=template, **facts)
        if not may_see_content(self.access(request)):
            return
        options = form.options()
        version = add_version(template=template, content=form.content(), **options)
        if version is not None:
            self.message_user(request, gettext("Saved as version %(number)s.") % {"number": version.number})

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Render the form with the links to run the template and to its jobs, and what uses it."""
        template = context.get("original")
        if template is not None:
            context["may_run"] = self._may_run(request, template)
            has_schedules = self.access(request).may(Permission.SCHEDULES_VIEW)
            context["used_by"] = find_uses(template, has_schedules=has_schedules)
            panels = read_panels(self.access(request), "template", [template.name], tenant_id=template.tenant_id)
            context["panel"] = panels.get(template.name)
            context["jobs_url"] = list_url_of_text(f"meta.template:{template.name}@{template.version}")
        response = super().render_change_form(request, context, *args, **kwargs)
        if not self.has_change_permission(request):
            # Versions have payloads, which viewers do not see.
            response.context_data["versions"] = []
        elif not may_see_content(self.access(request)):
            for item in response.context_data.get("versions", ()):
                shown = TEMPLATES.audited(Difference(item["row"].before, item["row"].after))
                item["diffs"] = diff_documents(shown.before, shown.after)
        return response

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("It is deleted with its versions. Its jobs keep its name and version."),
        permission=Permission.TEMPLATES_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, template: JobTemplate, reason: str) -> HttpResponse:
        delete_template(template=template, reason=reason)
        self.message_user(request, gettext("The template %(name)s is deleted.") % {"name": template.name})
        return HttpResponseRedirect(reverse("admin:scheduling_jobtemplate_changelist"))

    def get_urls(self) -> list[URLPattern]:
        run = self.guard(self.run_view, Permission.TEMPLATES_RUN)
        parameters = self.guard(require_POST(self.parameters_view), Permission.TEMPLATES_RUN)
        content = self.guard(require_POST(self.content_view), Permission.TEMPLATES_MANAGE)
        return [
            path("content/", content, name="scheduling_jobtemplate_content"),
            path("<uuid:object_id>/run/", run, name="scheduling_jobtemplate_run"),
            path("<uuid:object_id>/parameters/", parameters, name="scheduling_jobtemplate_parameters"),
            *super().get_urls(),
        ]

    def content_view(self, request: HttpRequest) -> HttpResponse:
        """Return the HTML of the posted payload, or of the parameters, after a change of their rows, tab or kind."""
        name = "parameters" if request.GET.get("name") == "parameters" else "payload"
        return redraw(request, self.get_form(request)(request.POST).fields[name], name)

    def parameters_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Return the HTML of the posted parameters after a change of their rows or tab."""
        field: Any = self._form(request, self._find(request, object_id)).fields["parameters"]
        return redraw(request, field, "parameters")

    def run_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Show a form for the parameters of a run; on POST, submit the job."""
        template = self._find(request, object_id)
        form = self._form(request, template)
        if request.method == "POST" and form.is_valid():
            try:
                with mask_validation_errors(self.access(request)):
                    job = run_template(
                        template=template,
                        values=form.cleaned_data["parameters"],
                        is_rate_limited=self.access(request).platform_role is None,
                    ).job
            except DomainError as refusal:
                for fault in refusal.errors or [{"detail": refusal.detail}]:
                    form.add_error("parameters", f"{fault.get('field', '')} {fault['detail']}".strip())
            else:
                self.message_user(request, gettext("The job is submitted. This is its page."))
                return HttpResponseRedirect(reverse("admin:scheduling_job_change", args=[job.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Run %(name)s") % {"name": template.name},
            "opts": self.opts,
            "template": template,
            "form": form,
        }
        return TemplateResponse(request, "scheduling/dashboards/template_run.html", context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return find_templates()

    def _find(self, request: HttpRequest, object_id: Any) -> JobTemplate:
        template = first_or_raise(find_templates().filter(pk=object_id), Http404(gettext("There is no such template.")))
        if not self._may_run(request, template):
            raise PermissionDenied
        return template

    def _form(self, request: HttpRequest, template: JobTemplate) -> TemplateRunForm:
        form = TemplateRunForm(request.POST or None)
        url = reverse("admin:scheduling_jobtemplate_parameters", args=[template.pk])
        form.fields["parameters"].use_schema(TEMPLATES.describe(template)["parameters"], url=url)  # type: ignore[attr-defined]
        return form

    def _may_run(self, request: HttpRequest, template: JobTemplate) -> bool:
        try:
            require_right_to_run(self.access(request), template)
        except DomainError:
            return False
        return True
