"""Webhooks are made, tried, given new secrets and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from scheduling.outgoing_http import UrlRefusedError, read_target
from scheduling.processors.webhook_delivery.endpoints import KIND, get_webhook
from scheduling.processors.webhook_delivery.exceptions import (
    TooManyWebhooksError,
    WebhookNameTakenError,
    WebhookUrlError,
)
from scheduling.processors.webhook_delivery.models import Delivery, Webhook
from scheduling.processors.webhook_delivery.signing import new_secret, seal
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_job
from tenants.clock import read_clock
from tenants.context import tenant_context
from tenants.models import Tenant
from tenants.services.audit import record_audit

TEST_EVENT = "webhook.test"
MAX_WEBHOOKS = 50


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """A webhook with its secret, which nobody is shown again."""

    webhook: Webhook
    secret: str


def create_webhook(*, tenant: Tenant, name: str, url: str) -> ShownSecret:
    """Make a webhook; its secret is in the answer alone."""
    _check_url(url)
    secret = new_secret()
    with tenant_context(tenant):
        if Webhook.objects.count() >= MAX_WEBHOOKS:
            raise TooManyWebhooksError("A tenant has %(limit)s webhooks at most.", {"limit": MAX_WEBHOOKS})
        try:
            with transaction.atomic():
                webhook = Webhook.objects.create(tenant=tenant, name=name, url=url, sealed_secret=seal(secret))
        except IntegrityError as error:
            raise WebhookNameTakenError("Another webhook is called %(name)r.", {"name": name}) from error
        record_audit(action="webhook.created", target=webhook, after={"name": name, "url": url})
        webhook = get_webhook(webhook.pk)
    return ShownSecret(webhook, secret)


@transaction.atomic
def rotate_secret(*, webhook_id: UUID, reason: str = "") -> ShownSecret:
    """Give a webhook of the scope a new secret; the one before signs beside it for a day."""
    secret = new_secret()
    webhook = get_webhook(webhook_id, is_locked=True)
    before = webhook.rotated_at or webhook.created_at
    webhook.previous_sealed_secret, webhook.sealed_secret = webhook.sealed_secret, seal(secret)
    webhook.rotated_at = read_clock()
    webhook.save(update_fields=["previous_sealed_secret", "sealed_secret", "rotated_at"])
    record_audit(
        action="webhook.rotated",
        target=webhook,
        before={"since": before.isoformat()},
        after={"since": webhook.rotated_at.isoformat()},
        reason=reason,
    )
    return ShownSecret(webhook, secret)


@transaction.atomic
def delete_webhook(*, webhook: Webhook, reason: str = "") -> None:
    """Delete a webhook with the record of its deliveries; what is still to be delivered to it becomes dead letters."""
    record_audit(
        action="webhook.deleted", target=webhook, before={"name": webhook.name, "url": webhook.url}, reason=reason
    )
    webhook.delete()


def try_webhook(*, webhook: Webhook) -> UUID:
    """Deliver an event that says nothing, so that its owner sees whether it arrives; the id of the job."""
    payload = {"webhook": str(webhook.pk), "event": TEST_EVENT, "data": {"webhook": webhook.name}}
    job_id: UUID = submit_job(
        tenant=webhook.tenant, request=JobRequest(kind=KIND, payload=payload), is_rated=True
    ).job.pk
    return job_id


def deliveries_of(webhook: Webhook) -> QuerySet[Delivery]:
    """The attempts to deliver to a webhook."""
    deliveries: QuerySet[Delivery] = Delivery.objects.filter(webhook=webhook)
    return deliveries


def _check_url(url: str) -> None:
    try:
        read_target(url)
    except UrlRefusedError as refusal:
        raise WebhookUrlError(
            str(refusal), errors=[{"field": "url", "code": WebhookUrlError.code, "detail": str(refusal)}]
        ) from refusal
