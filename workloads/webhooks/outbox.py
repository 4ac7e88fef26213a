"""The adapter `webhook` of the outbox: a message is a signed request to one of the tenant's webhooks."""

from __future__ import annotations

import time
from uuid import UUID

from django.utils.translation import gettext

from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS, PermanentError
from scheduling.kit.http import read_target, send
from scheduling.kit.outbox import OutboxAdapter, OutboxDestination, OutboxItem
from tenants.secrets.signing import headers_of
from workloads.webhooks.endpoints import Endpoint, open_endpoint
from workloads.webhooks.models import Webhook
from workloads.webhooks.requests import LIMITS, body_of, conclude


class WebhookDestination(OutboxDestination):
    """A webhook; its requests have the message's id, by which it recognises a repeat."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def dependency(self) -> str:
        """Return the webhook's host."""
        return read_target(self._endpoint.url).authority[:MAX_DEPENDENCY_CHARACTERS]

    def send(self, item: OutboxItem) -> None:
        """Send one request; raise PermanentError or TransientError unless the answer's status is 2xx."""
        identity = str(item.id)
        body = body_of(identity, item.topic, item.message, item.emitted_at.isoformat())
        signed = headers_of(self._endpoint.secrets, message_id=identity, timestamp=int(time.time()), body=body)
        headers = [("Content-Type", "application/json"), *signed]
        conclude(send("POST", self._endpoint.url, headers=headers, body=body, limits=LIMITS))


class WebhookAdapter(OutboxAdapter):
    """The adapter of webhooks; its target is a webhook's name."""

    name = "webhook"

    def check(self, *, tenant_id: UUID, target: str) -> None:
        """Raise ValueError if the tenant has no webhook of that name."""
        if not Webhook.objects.filter(name=target).exists():
            raise ValueError(gettext("There is no webhook with this name."))

    def open(self, *, tenant_id: UUID, target: str) -> OutboxDestination:
        """Return the webhook; raise PermanentError if it was deleted or its secret cannot be decrypted."""
        webhook_id = Webhook.objects.filter(name=target).values_list("pk", flat=True).first()
        if webhook_id is None:
            raise PermanentError("The webhook was deleted.", code="webhook_gone")
        return WebhookDestination(open_endpoint(tenant_id, webhook_id))
