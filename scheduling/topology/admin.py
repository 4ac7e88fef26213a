"""Console pages of worker pools, and forms shared with the pages of queues; for platform staff only."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Field, Model
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from scheduling.console.help_texts import HelpfulMixin
from scheduling.jobs.routing.resources import kinds_beyond
from scheduling.models import Queue, Resource, WorkerPool
from scheduling.regions.queries import read_regions
from scheduling.stops.pauses import drain_pool, pause_pool, resume_pool
from scheduling.stops.queries import find_drain
from scheduling.topology.resources import check_pool_class
from scheduling.topology.service import POOL_FIELDS, check_new_name, create_worker_pool, update_worker_pool
from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.console.post_actions import post_action, until_of
from tenants.console.site import console_site
from tenants.exceptions import FieldInvalidError


class TopologyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a queue or pool, with the reason of a change; it checks the name of a new row."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Kept in the audit log."),
    )

    def clean_name(self) -> str:
        try:
            return check_new_name(self.cleaned_data["name"])
        except FieldInvalidError as refusal:
            raise ValidationError(refusal.errors[0]["detail"]) from refusal


class WorkerPoolForm(TopologyForm):
    """Form of a pool; it refuses another resource class while workers run."""

    def clean_resource_class(self) -> str:
        resource_class = str(self.cleaned_data["resource_class"])
        try:
            check_pool_class(self.instance, resource_class)
        except FieldInvalidError as refusal:
            raise ValidationError(refusal.errors[0]["detail"]) from refusal
        return resource_class


class TopologyAdmin(HelpfulMixin, PlatformStaffAdmin):
    """Base of the pages of queues and pools; fields in ``given_once`` are read-only after the row was added."""

    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.FAIRNESS_MANAGE
    form = TopologyForm
    given_once: ClassVar[tuple[str, ...]]
    edited_fields: ClassVar[tuple[str, ...]]
    state_fields: ClassVar[tuple[str, ...]] = ()

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name not in {"offers", "needs"}:
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return forms.MultipleChoiceField(
            label=capfirst(str(db_field.verbose_name)),
            choices=Resource.choices,
            required=False,
            widget=UnfoldAdminCheckboxSelectMultipleWidget(),
            help_text=db_field.help_text,
        )

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        shown = (*self.given_once, *(self.state_fields if obj else ()), *self.edited_fields)
        return (*shown, "reason") if self.has_change_permission(request) else shown

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (*self.given_once, *self.state_fields) if obj else ()

    def values_of(self, form: Any, *, change: bool) -> dict[str, Any]:
        """Return the values of the editable fields; of a change, only those that differ."""
        names = form.changed_data if change else self.edited_fields
        return {name: form.cleaned_data[name] for name in names if name in self.edited_fields}


def is_draining(scope: str, row: Queue | WorkerPool) -> bool:
    """Return whether a queue or pool is draining."""
    return find_drain(scope, row.name) is not None


@admin.register(WorkerPool, site=console_site)
class WorkerPoolAdmin(TopologyAdmin):
    """Admin pages of the worker pools; the workers of a pool run the jobs of its queues."""

    empty_title = gettext_lazy("No worker pools")
    empty_text = gettext_lazy(
        "Workers serve a pool, and each queue belongs to a pool. Add one above, or run “manage.py create_worker_pool”."
    )

    list_before_template = "scheduling/dashboards/parts/regions.html"
    list_display = ("name", "description", "region", "memory_mib", "resource_class", "offered", "rate_milli")
    form = WorkerPoolForm
    given_once = ("name",)
    edited_fields = POOL_FIELDS
    post_actions = ("pause", "drain", "resume")
    help_texts = {
        "name": gettext_lazy(
            "Lower-case letters, digits, hyphens and underscores; “manage.py run_worker --pool NAME” serves it."
        ),
        "description": gettext_lazy("Machines and queues of this pool, in one line."),
    }

    @admin.display(description=gettext_lazy("Offers"))
    def offered(self, pool: WorkerPool) -> str:
        return ", ".join(str(Resource(name).label) for name in pool.offers)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        regions = read_regions()
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "regions": regions})
        return response

    def save_model(self, request: HttpRequest, obj: WorkerPool, form: Any, change: bool) -> None:
        values, reason = self.values_of(form, change=change), form.cleaned_data["reason"]
        if change:
            update_worker_pool(pool=obj, changes=values, reason=reason)
        else:
            obj.pk = create_worker_pool(name=form.cleaned_data["name"], values=values, reason=reason).pk
        if too_large := kinds_beyond(obj):
            messages.warning(
                request,
                gettext("Jobs of these kinds need more memory and do not start here: %(too_large)s.")
                % {"too_large": ", ".join(too_large)},
            )

    @post_action(
        label=gettext_lazy("Pause"),
        consequence=gettext_lazy("No job of the pool starts until it is resumed. Running jobs end as usual."),
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda pool: not pool.is_paused,
    )
    def pause(self, request: HttpRequest, pool: WorkerPool, reason: str) -> str:
        pause_pool(pool=pool, reason=reason, until=until_of(request))
        return gettext(
            "%(pool)s is paused: its workers receive no jobs until it is resumed, and running jobs continue."
        ) % {"pool": pool}

    @post_action(
        label=gettext_lazy("Drain"),
        consequence=gettext_lazy("No job of the pool starts; the page says when the last one has ended."),
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda pool: not is_draining("pool", pool),
    )
    def drain(self, request: HttpRequest, pool: WorkerPool, reason: str) -> str:
        drain_pool(pool=pool, reason=reason, until=until_of(request))
        return gettext(
            "%(pool)s is draining: its workers receive no more jobs. The audit log records when they are idle."
        ) % {"pool": pool}

    @post_action(
        label=gettext_lazy("Resume"),
        consequence=gettext_lazy("Waiting jobs of the pool may start at once."),
        permission=Permission.QUEUES_OPERATE,
        asks_reason=True,
        is_offered=lambda pool: pool.is_paused or is_draining("pool", pool),
    )
    def resume(self, request: HttpRequest, pool: WorkerPool, reason: str) -> str:
        resume_pool(pool=pool, reason=reason)
        return gettext("%(pool)s is resumed: its workers receive jobs again.") % {"pool": pool}
