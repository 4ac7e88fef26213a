"""Database reads of the webhook that a delivery goes to, and the record of the attempts."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from scheduling.kit.base import PermanentError
from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.secrets.signing import SecretUnreadableError, unseal
from workloads.webhooks.exceptions import WebhookNotFoundError
from workloads.webhooks.models import MAX_ANSWER, MAX_ERROR, Delivery, Webhook

KIND = "webhook_delivery"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The URL of a webhook, and the secrets that sign its deliveries."""

    url: str
    secrets: tuple[str, ...]


def get_webhook(webhook_id: UUID, *, is_locked: bool = False) -> Webhook:
    """Return a webhook of the current scope; with ``is_locked`` lock its row.

    Raise `WebhookNotFoundError` if there is none, also for another tenant's webhook.
    """
    rows = Webhook.objects.select_related("tenant__plan")
    if is_locked:
        rows = rows.select_for_update(no_key=True, of=("self",))
    return first_or_raise(rows.filter(pk=webhook_id), WebhookNotFoundError)


def read_endpoint(*, tenant_id: UUID, webhook_id: UUID) -> Endpoint:
    """Return the URL of a webhook and the secrets that sign its deliveries, the current one first.

    Raise `WebhookNotFoundError` or `SecretUnreadableError`.
    """
    with tenant_context(tenant_id):
        webhook = get_webhook(webhook_id)
        sealed = webhook.valid_sealed_secrets()
    return Endpoint(webhook.url, tuple(unseal(one) for one in sealed))


def open_endpoint(tenant_id: UUID, webhook_id: UUID) -> Endpoint:
    """Return the URL and secrets of a webhook for a delivery.

    Raise `PermanentError` if the webhook was deleted or its secret cannot be decrypted.
    """
    try:
        return read_endpoint(tenant_id=tenant_id, webhook_id=webhook_id)
    except WebhookNotFoundError as error:
        raise PermanentError("The webhook was deleted.", code="webhook_gone") from error
    except SecretUnreadableError as error:
        raise PermanentError("The webhook needs a new secret: rotate it.", code="webhook_secret") from error


def record_attempt(
    *,
    tenant_id: UUID,
    webhook_id: UUID,
    job_id: UUID,
    event: str,
    attempt: int,
    seconds: float,
    status: int | None,
    error: str = "",
    answer: str = "",
) -> None:
    """Store a delivery attempt and its result in a transaction of its own, unless the webhook was deleted meanwhile."""
    with tenant_context(tenant_id):
        if not Webhook.objects.select_for_update(no_key=True).filter(pk=webhook_id).exists():
            return
        Delivery.objects.create(
            tenant_id=tenant_id,
            webhook_id=webhook_id,
            job_id=job_id,
            event=event,
            attempt=attempt,
            seconds=seconds,
            status=status,
            error=error[:MAX_ERROR],
            answer=answer[:MAX_ANSWER],
        )
