"""Form of a periodic task of django-celery-beat: a tenant's job by fields, or another task by Celery's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import PeriodicTask
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from scheduling.celery.beat_tasks import find_fault, kind_of_task, payload_of_call
from scheduling.celery.publishing import SUBMIT_TASK
from scheduling.exceptions import OptionInvalidError
from scheduling.schedules.beat_jobs import BeatJob, read_job
from scheduling.schedules.beat_submissions import check_submission
from scheduling.schedules.forms import SuggestWidget, offer_kinds_and_queues, show_payload
from scheduling.schedules.rules import faults_of_job
from tenants.access.caller import Access
from tenants.exceptions import DomainError
from tenants.models import Tenant

# Of a job's fields in the form.
PREFIX = "job_"
# More tenants make the list slow; the slug of another one can be typed.
TENANTS_OFFERED = 500


class UnfoldTaskSelectWidget(UnfoldAdminSelectWidget, TaskSelectWidget):
    """Select widget of the registered Celery tasks, in the console's style."""


class BeatScheduleForm(PeriodicTaskForm):
    """Form of a periodic task with the console's widgets, and checks that it can run.

    The admin adds the fields of the job, those of a schedule with PREFIX. With a kind, the task is `scheduling.submit`;
    the arguments of a fair task become the payload of its job.
    """

    access: ClassVar[Access | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = UnfoldTaskSelectWidget()
        self.job = read_job(self.instance) or _job_of_call(self.instance)
        stored = {"tenant": self.job.tenant, "kind": self.job.kind, "payload": self.job.payload, **self.job.options}
        self.initial |= {PREFIX + name: value for name, value in stored.items()}
        for name, field in self.fields.items():
            field.required = field.required and not name.startswith(PREFIX)
        if "job_tenant" in self.fields:
            slugs = Tenant.objects.order_by("slug").values_list("slug", flat=True)[:TENANTS_OFFERED]
            self.fields["job_tenant"].widget = SuggestWidget(lambda: slugs)
        offer_kinds_and_queues(self, PREFIX)
        slug = str(self.data.get("job_tenant", self.job.tenant)).replace("\x00", "")
        tenant = Tenant.objects.filter(slug=slug).first()
        show_payload(self, tenant, self.access, PREFIX)

    def clean(self) -> dict[str, Any]:
        """Reject a task that could not be delivered, or whose job would be refused when it is due."""
        given = self.cleaned_data
        task = given.get("regtask") or given.get("task") or self.instance.task
        called = kind_of_task(task)
        if (kind := given.get("job_kind") or called) or task == SUBMIT_TASK:
            self._set_job(kind, self._sent_payload(kind) if kind and kind == called else {})
        values: dict[str, Any] = super().clean()
        if self.errors:
            return values
        sent = {name: values.get(name, getattr(self.instance, name)) for name in ("task", "args", "queue")}
        hidden = {name: values.get(name) for name in ("exchange", "routing_key")}
        if (fault := find_fault(PeriodicTask(**sent, **hidden))) is not None:
            self.add_error(fault.field if fault.field in self.fields else None, fault.detail)
        elif values["task"] == SUBMIT_TASK:
            self._check_job(values)
        return values

    def _sent_payload(self, kind: str) -> dict[str, Any]:
        """Return the payload of a fair task's job whose arguments were sent in Celery's fields."""
        try:
            return payload_of_call(kind, self.cleaned_data.get("args", ""), self.cleaned_data.get("kwargs", ""))
        except OptionInvalidError as refusal:
            self.add_error("args", refusal.detail)
            return {}

    def _set_job(self, kind: str, call: Mapping[str, Any]) -> None:
        """Make the task a submission of the job that the fields describe; a hidden payload stays."""
        given = self.cleaned_data
        named = {name.removeprefix(PREFIX): given.get(name) for name in self.fields if name.startswith(PREFIX)}
        tenant, payload = named.pop("tenant", None), named.pop("payload", self.job.payload)
        options = {**self.job.options, **named}
        kept = {name: value for name, value in options.items() if name != "kind" and value not in (None, "", [])}
        self._job = BeatJob(tenant or "", kind, {**call, **(payload or {})}, kept)
        for name, value in {"task": SUBMIT_TASK, "args": "[]", "kwargs": self._job.to_kwargs()}.items():
            if name in self.fields:
                given[name] = value
            setattr(self.instance, name, value)
        given["regtask"] = SUBMIT_TASK
        self._refuse_moved_payload()

    def _refuse_moved_payload(self) -> None:
        """Reject another tenant or kind for a payload that the form hides: its readers would change."""
        is_hidden = bool(self.job.payload) and "job_payload" not in self.fields
        for name, stored in (("tenant", self.job.tenant), ("kind", self.job.kind)) if is_hidden else ():
            if getattr(self._job, name) != stored:
                self.add_error(
                    PREFIX + name, gettext("It stays: the payload was written for it, and you may not see it.")
                )

    def _check_job(self, values: dict[str, Any]) -> None:
        try:
            check_submission(self._job, name=values["name"] if values.get("enabled") else "")
        except DomainError as refusal:
            if "job_payload" not in self.fields:
                # The faults would quote values that the form hides.
                self.add_error(None, gettext("The job would be refused: its arguments are not valid."))
                return
            for fault in faults_of_job(refusal):
                name = fault["field"].split(".")[0]
                self.add_error(name if name == "name" else f"{PREFIX}{name}", fault["detail"])


def _job_of_call(task: PeriodicTask) -> BeatJob:
    """Return the job of a fair task, without a tenant, or an empty one; arguments that do not fit are left out."""
    kind = kind_of_task(task.task)
    try:
        return BeatJob("", kind, payload_of_call(kind, task.args, task.kwargs) if kind else {}, {})
    except OptionInvalidError:
        return BeatJob("", kind, {}, {})
