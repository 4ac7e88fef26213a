"""Configuration of webhook triggers: what is checked when one is saved, and the replacement of its secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from django.apps import apps
from django.db import transaction
from django.db.models import QuerySet

from scheduling.configuration.service import Configured
from scheduling.jobs.job_templates.exceptions import JobTemplateNotFoundError
from scheduling.jobs.job_templates.models import JobTemplate
from scheduling.jobs.job_templates.service import TEMPLATES
from scheduling.jobs.requests import is_submittable
from tenants.access.permissions import Permission
from tenants.access.roles import require_held
from tenants.context import tenant_context
from tenants.exceptions import DomainError, FieldInvalidError
from tenants.secrets.references import has_references
from tenants.secrets.rotation import replace_secret
from tenants.secrets.signing import new_secret, seal, unseal
from tenants.translation import translate
from workloads.triggers.exceptions import TargetMissingError
from workloads.triggers.mapping import check_key, check_mapping
from workloads.triggers.models import TriggerDelivery, WebhookTrigger

MAX_TRIGGERS: Final = 50
FIELDS: Final = (
    "name", "kind", "template", "workflow", "mapping", "headers", "deduplicate_by", "signature", "is_enabled",
)  # fmt: skip
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}", re.ASCII)
# What authenticates a caller is no input of a job.
_WITHHELD: Final = frozenset({"authorization", "cookie", "proxy-authorization", "webhook-signature", "x-api-key"})


def check_trigger(trigger: WebhookTrigger) -> None:
    """Complete a trigger that is about to be stored; raise `FieldInvalidError`, or `RightNotHeldError`."""
    # A trigger submits jobs for anyone who has its secret.
    require_held({Permission.JOBS_SUBMIT})
    with tenant_context(trigger.tenant_id):
        for field, fault in _faults_of(trigger):
            if fault:
                raise FieldInvalidError.at(field, fault)
    trigger.signature = trigger.signature or WebhookTrigger.Signature.STANDARD
    if trigger._state.adding:
        trigger.sealed_secret = seal(new_secret())


def _faults_of(trigger: WebhookTrigger) -> Iterator[tuple[str, str]]:
    if sum(map(bool, (trigger.kind, trigger.template, trigger.workflow))) != 1:
        yield "kind", translate("Give a kind, a template or a workflow, and only one of them.")
    if trigger.kind and not is_submittable(trigger.kind):
        yield "kind", translate("There is no such kind that clients may submit.")
    try:
        if trigger.template and has_references(TEMPLATES.describe(find_template(trigger.template))):
            yield "template", translate("It uses stored secrets, which a trigger may not; a workflow may.")
        if trigger.workflow:
            find_workflow(trigger.workflow)
    except TargetMissingError:
        yield "template" if trigger.template else "workflow", translate("There is none with this name.")
    yield "mapping", check_mapping(trigger.mapping)
    if has_references(trigger.mapping):
        yield "mapping", translate("A mapping may not use stored secrets.")
    yield "deduplicate_by", check_key(trigger.deduplicate_by)
    if not all(_HEADER.fullmatch(name) and name.lower() not in _WITHHELD for name in trigger.headers):
        yield "headers", translate("Use names of headers, other than those that authenticate a caller.")


TRIGGERS = Configured(WebhookTrigger, FIELDS, check_trigger, most=MAX_TRIGGERS)


def find_template(name: str) -> JobTemplate:
    """Return the tenant's job template of this name; raise `TargetMissingError` if there is none."""
    try:
        return TEMPLATES.find(name)
    except JobTemplateNotFoundError as error:
        raise TargetMissingError from error


def find_workflow(name: str) -> Any:
    """Return the tenant's workflow of this name; raise `TargetMissingError` if there is none."""
    if apps.is_installed("workloads.workflows"):
        # Its tables exist only while the app is installed.
        from workloads.workflows.service import WORKFLOWS

        try:
            return WORKFLOWS.find(name)
        except DomainError as error:
            raise TargetMissingError from error
    raise TargetMissingError


def secret_of(trigger: WebhookTrigger) -> str:
    """Return the secret of a trigger, for the response to its creation."""
    return unseal(trigger.sealed_secret)


@transaction.atomic
def rotate_secret(*, trigger_id: UUID, reason: str = "") -> tuple[WebhookTrigger, str]:
    """Replace the secret of a trigger of the current scope; for a day, the previous one is accepted too."""
    trigger = TRIGGERS.find(trigger_id)
    locked: WebhookTrigger = WebhookTrigger.objects.select_for_update(no_key=True).get(pk=trigger.pk)
    return locked, replace_secret(locked, action="webhook_trigger.rotated", reason=reason)


def deliveries_of(trigger: WebhookTrigger) -> QuerySet[TriggerDelivery]:
    """Return a queryset of the last deliveries to a trigger."""
    deliveries: QuerySet[TriggerDelivery] = TriggerDelivery.objects.filter(trigger=trigger)
    return deliveries
