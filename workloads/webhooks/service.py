"""Services that create, change, test and delete webhooks and replace their secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.kit.http import UrlRefusedError, read_target
from scheduling.subscriptions.registry import JOB_EVENTS, read_subscription_filter
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.models import Tenant
from tenants.secrets.rotation import replace_secret
from tenants.secrets.signing import new_secret, seal
from tenants.tenancy.changes import assign
from workloads.webhooks.endpoints import KIND, get_webhook
from workloads.webhooks.exceptions import (
    TooManyWebhooksError,
    WebhookEventsError,
    WebhookNameTakenError,
    WebhookUrlError,
)
from workloads.webhooks.models import Delivery, Webhook

TEST_EVENT = "webhook.test"
MAX_WEBHOOKS = 50
EDITABLE_FIELDS: Final = ("name", "url", "events", "job_filter")


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """A webhook and its secret, which is shown to the caller once."""

    webhook: Webhook
    secret: str


def create_webhook(
    *, tenant: Tenant, name: str, url: str, events: Sequence[str] = (), job_filter: str = ""
) -> ShownSecret:
    """Create a webhook, which is notified of the given events of jobs from now on. Only the result contains its secret.

    Raise `TooManyWebhooksError`, `WebhookNameTakenError`, `WebhookUrlError` or `WebhookEventsError`.
    """
    values = check_values({"name": name, "url": url, "events": events, "job_filter": job_filter})
    secret = new_secret()
    with tenant_context(tenant):
        if Webhook.objects.count() >= MAX_WEBHOOKS:
            raise TooManyWebhooksError("A tenant may have at most %(limit)s webhooks.", {"limit": MAX_WEBHOOKS})
        webhook = Webhook(tenant=tenant, sealed_secret=seal(secret), **values)
        webhook.events_since = read_clock() if webhook.events else None
        _save(webhook)
        record_audit(action="webhook.created", target=webhook, after=_facts(webhook))
        webhook = get_webhook(webhook.pk)
    return ShownSecret(webhook, secret)


@transaction.atomic
def update_webhook(*, webhook_id: UUID, changes: Mapping[str, Any], reason: str = "") -> Webhook:
    """Change fields of a webhook of the current scope.

    If it had no events before, it receives the given ones from now on.
    """
    webhook = get_webhook(webhook_id, is_locked=True)
    difference = assign(webhook, check_values(changes))
    if not difference:
        return webhook
    if not webhook.events:
        webhook.events_since = None
    elif webhook.events_since is None:
        webhook.events_since = read_clock()
    with tenant_context(webhook.tenant):
        _save(webhook)
        record_audit(
            action="webhook.changed",
            target=webhook,
            before=difference.before,
            after=difference.after,
            reason=reason,
        )
    return webhook


def check_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a webhook's fields as they are stored; raise the error of the first invalid one."""
    checked = dict(values)
    if "url" in checked:
        _check_url(checked["url"])
    if "events" in checked:
        checked["events"] = _read_events(checked["events"])
    if "job_filter" in checked:
        checked["job_filter"] = read_subscription_filter(checked["job_filter"])
    return checked


@transaction.atomic
def rotate_secret(*, webhook_id: UUID, reason: str = "") -> ShownSecret:
    """Replace the secret of a webhook of the current scope.

    For a day, deliveries are also signed with the previous one.
    """
    webhook = get_webhook(webhook_id, is_locked=True)
    return ShownSecret(webhook, replace_secret(webhook, action="webhook.rotated", reason=reason))


@transaction.atomic
def delete_webhook(*, webhook: Webhook, reason: str = "") -> None:
    """Delete a webhook with the record of its deliveries. Deliveries that are not yet accepted become dead letters."""
    record_audit(action="webhook.deleted", target=webhook, before=_facts(webhook), reason=reason)
    webhook.delete()


def try_webhook(*, webhook: Webhook) -> UUID:
    """Submit a delivery of the event TEST_EVENT, so that the owner can see whether it arrives. Return the job's id."""
    payload = {"webhook": str(webhook.pk), "event": TEST_EVENT, "data": {"webhook": webhook.name}}
    request = JobRequest(kind=KIND, payload=payload, is_internal=True)
    job_id: UUID = submit_job(tenant=webhook.tenant, request=request, is_rate_limited=True).job.pk
    return job_id


def deliveries_of(webhook: Webhook) -> QuerySet[Delivery]:
    """Return a queryset of a webhook's delivery attempts."""
    deliveries: QuerySet[Delivery] = Delivery.objects.filter(webhook=webhook)
    return deliveries


def _save(webhook: Webhook) -> None:
    try:
        with transaction.atomic():
            webhook.save()
    except IntegrityError as error:
        raise WebhookNameTakenError("The webhook %(name)r already exists.", {"name": webhook.name}) from error


def _facts(webhook: Webhook) -> dict[str, Any]:
    return {name: getattr(webhook, name) for name in EDITABLE_FIELDS}


def _read_events(names: Sequence[str]) -> list[str]:
    """Return the events in the order in which they are listed everywhere."""
    unknown = sorted(set(names) - set(JOB_EVENTS))
    if unknown:
        refusal = WebhookEventsError(
            "There are no events %(unknown)s; the events are %(known)s.",
            {"unknown": ", ".join(unknown), "known": ", ".join(JOB_EVENTS)},
        )
        refusal.errors = [{"field": "events", "code": refusal.code, "detail": refusal.detail}]
        raise refusal
    return [name for name in JOB_EVENTS if name in names]


def _check_url(url: str) -> None:
    try:
        read_target(url)
    except UrlRefusedError as refusal:
        raise WebhookUrlError(
            str(refusal), errors=[{"field": "url", "code": WebhookUrlError.code, "detail": str(refusal)}]
        ) from refusal
