"""Changes of the outbox: routes, new messages, results of attempts, and messages that are delivered again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from scheduling.configuration.service import Configured
from scheduling.kit.emitting import Emitted
from scheduling.outbox.adapters import adapters
from scheduling.outbox.exceptions import (
    OutboxMessageNotFoundError,
    OutboxMessageNotRetryableError,
    OutboxRouteMissingError,
)
from scheduling.outbox.models import OutboxMessage, OutboxRoute
from scheduling.outbox.rules import TOPIC_PATTERN, delay_seconds, matches_topic
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.encryption.fields import sealed_field
from tenants.exceptions import FieldInvalidError
from tenants.translation import translate

State = OutboxMessage.State
RETRYABLE = (State.DEAD, State.UNROUTED)


def check_route(route: OutboxRoute) -> None:
    """Raise FieldInvalidError for a route that no message could take, or whose target its adapter refuses."""
    if route.tenant_id is None:
        raise FieldInvalidError.at("tenant", translate("Choose a tenant."))
    check_topic_pattern(route.topic)
    adapter = adapters().get(route.adapter)
    if adapter is None:
        names = ", ".join(sorted(adapters()))
        raise FieldInvalidError.at("adapter", translate("The adapters are: %(names)s.", {"names": names}))
    if not route.is_enabled:
        # A route whose target is gone can be disabled.
        return
    with tenant_context(route.tenant_id):
        try:
            adapter.check(tenant_id=route.tenant_id, target=route.target)
        except ValueError as fault:
            raise FieldInvalidError.at("target", str(fault)) from fault


def check_topic_pattern(pattern: str) -> None:
    """Raise FieldInvalidError unless it is a topic, `*`, or the beginning of a topic followed by `.*`."""
    if not TOPIC_PATTERN.fullmatch(pattern):
        raise FieldInvalidError.at(
            "topic", translate("Use lower-case letters, digits, dots and underscores; only the end may be .* or *.")
        )


OUTBOX_ROUTES = Configured(OutboxRoute, ("name", "topic", "adapter", "target", "is_enabled"), check_route, most=100)


def store_messages(*, job_id: UUID, tenant_id: UUID, emitted: Sequence[Emitted]) -> None:
    """Store emitted messages, a row for each route that matches, in the caller's transaction and tenant scope."""
    routes = list(OutboxRoute.objects.order_by("pk"))
    rows = []
    for each in emitted:
        taken = [route for route in routes if matches_topic(route.topic, each.topic)]
        targets: list[OutboxRoute | None] = [*taken] or [None]
        for route in targets:
            state = State.PENDING if route else State.UNROUTED
            rows.append(
                OutboxMessage(
                    tenant_id=tenant_id, route=route, job_id=job_id, topic=each.topic, key=each.key,
                    body=each.message, state=state,
                )
            )  # fmt: skip
    OutboxMessage.objects.bulk_create(rows)


def note_delivered(message_id: UUID, delivery_job_id: UUID) -> None:
    """Record that a message was accepted, in the transaction of a checkpoint of the job that delivers it."""
    _in_delivery(message_id, delivery_job_id).update(
        state=State.DELIVERED, attempt=F("attempt") + 1, error="", ended_at=Now()
    )


def note_failed(
    message: OutboxMessage,
    delivery_job_id: UUID,
    error: str,
    *,
    is_final: bool = False,
    retry_after_seconds: float | None = None,
) -> None:
    """Record a failed attempt: the message is due again later, or is given up."""
    attempt = message.attempt + 1
    delay = None if is_final else delay_seconds(attempt, retry_after_seconds)
    row = _in_delivery(message.pk, delivery_job_id)
    text = error.replace("\0", "")
    shown = sealed_field(OutboxMessage, "error").ready(text, tenant_id=message.tenant_id, row_id=message.pk)
    if delay is None:
        row.update(state=State.DEAD, attempt=attempt, error=shown, ended_at=Now())
    else:
        due_at = Now() + timedelta(seconds=delay)
        row.update(attempt=attempt, error=shown, due_at=due_at, delivery_job_id=None)


def release(delivery_job_id: UUID) -> None:
    """Return the messages that a job has not tried, in the transaction that ends it."""
    OutboxMessage.objects.filter(delivery_job_id=delivery_job_id, state=State.PENDING).update(delivery_job_id=None)


@transaction.atomic
def retry_message(*, message_id: UUID, reason: str = "") -> OutboxMessage:
    """Deliver a message again that was given up, or had no route; its place among those of its key is the old one.

    Raise `OutboxMessageNotFoundError`, `OutboxMessageNotRetryableError` or `OutboxRouteMissingError`.
    """
    rows = OutboxMessage.objects.select_for_update(no_key=True, of=("self",))
    message = first_or_raise(rows.select_related("route", "tenant").filter(pk=message_id), OutboxMessageNotFoundError)
    if message.state not in RETRYABLE:
        raise OutboxMessageNotRetryableError
    before = message.state
    with tenant_context(message.tenant_id):
        if message.route is None:
            _route_again(message)
        message.state, message.attempt, message.error = State.PENDING, 0, ""
        message.due_at, message.ended_at, message.delivery_job_id = Now(), None, None
        message.save()
        record_audit(
            action="outbox_message.retried",
            target=message,
            before={"state": before},
            after={"state": State.PENDING.value},
            reason=reason,
        )
    return OutboxMessage.objects.select_related("route", "tenant").get(pk=message.pk)


def _route_again(message: OutboxMessage) -> None:
    """Give a message a route that matches now, and store a copy for each further one."""
    routes = [route for route in OutboxRoute.objects.order_by("pk") if matches_topic(route.topic, message.topic)]
    if not routes:
        raise OutboxRouteMissingError
    message.route = routes[0]
    OutboxMessage.objects.bulk_create(
        OutboxMessage(
            tenant_id=message.tenant_id, route=route, job_id=message.job_id, topic=message.topic, key=message.key,
            body=message.body, state=State.PENDING,
        )
        for route in routes[1:]
    )  # fmt: skip


def _in_delivery(message_id: UUID, delivery_job_id: UUID) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(pk=message_id, delivery_job_id=delivery_job_id, state=State.PENDING)
