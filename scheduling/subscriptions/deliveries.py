"""Delivery jobs: each sends one job event to one subscriber, and counts against the limits of the tenant."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError

from scheduling.conf import WEBHOOK_KIND
from scheduling.errors.fingerprints import fingerprint_of
from scheduling.jobs.filters import JobFilter, parse
from scheduling.jobs.filters.matching import JobFacts, matches_filter
from scheduling.jobs.lifecycle import started_attempts
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import BulkSubmission, submit_jobs
from scheduling.streams.event_pages import PublishedEvent
from scheduling.subscriptions.registry import EVENT_OF_STATE, EventSubscription
from tenants.context import tenant_context
from tenants.database.reads import from_row
from tenants.encryption.error_texts import is_readable
from tenants.exceptions import DomainError, TenantSuspendedError
from tenants.models import Tenant

logger = logging.getLogger(__name__)

# Seconds until a tenant without room is tried again, at first and at most.
REST_SECONDS, LONGEST_REST_SECONDS = 10.0, 60.0
MAX_MESSAGE_CHARACTERS = 2_000

_parse = lru_cache(maxsize=10_000)(parse)


@dataclass(frozen=True, slots=True)
class EventDelivery:
    """Delivery of one event to one subscriber (``target``)."""

    event: PublishedEvent
    target: UUID

    @property
    def place(self) -> tuple[UUID, UUID]:
        """Return the key by which deliveries are ordered: event id, then subscriber."""
        return self.event.id, self.target

    def request(self) -> JobRequest:
        """Return the request of the delivery job."""
        name = EVENT_OF_STATE[self.event.state]
        payload = {
            "webhook": str(self.target),
            "event": name,
            "timestamp": self.event.at.isoformat(),
            "data": event_payload(self.event),
        }
        return JobRequest(kind=WEBHOOK_KIND, payload=payload, is_internal=True)


@dataclass(frozen=True, slots=True)
class SubmittedDeliveries:
    """Result of a submission: the first ``count`` deliveries were submitted, the others must wait ``rest_seconds``."""

    count: int
    rest_seconds: float = 0.0


def event_payload(event: PublishedEvent) -> dict[str, Any]:
    """Return what subscribers get about a job, without its payload and result, because those need permissions."""
    error = {"type": event.error_type, "message": event.error_message[:MAX_MESSAGE_CHARACTERS]}
    return {
        "event": str(event.id),
        "job": str(event.job_id),
        "kind": event.kind,
        "queue": event.queue,
        "state": event.state,
        "tags": list(event.tags),
        "fair_key": event.fair_key,
        "batch": str(event.batch_id) if event.batch_id else None,
        "attempt": started_attempts(event.state, failed=event.failed_attempts, has_started=event.has_started),
        "error": error if event.error_type else None,
    }


def deliveries_of(
    events: Iterable[PublishedEvent],
    subscriptions: Mapping[UUID, Sequence[EventSubscription]],
    *,
    after: tuple[UUID, UUID],
) -> list[EventDelivery]:
    """Return the deliveries of these events that come after a position, in order."""
    found = [
        EventDelivery(event, each.target)
        for event in events
        for each in subscriptions.get(event.tenant_id, ())
        if is_subscribed(each, event)
    ]
    return [delivery for delivery in found if delivery.place > after]


def is_subscribed(subscription: EventSubscription, event: PublishedEvent) -> bool:
    """Return whether the subscription wants the event: its type is included, it is not too old, and its job matches."""
    if EVENT_OF_STATE[event.state] not in subscription.events or event.at < subscription.since:
        return False
    job_filter: JobFilter = _parse(subscription.filter_text)
    return job_filter.is_empty or matches_filter(_traits_of(event), job_filter)


def submit_deliveries(tenant: Tenant, deliveries: Sequence[EventDelivery]) -> SubmittedDeliveries:
    """Submit as many of the deliveries as the tenant's limits allow, in a savepoint of the caller's transaction.

    Deliveries that can never be submitted are logged and dropped. If the submission fails, that delivery and all later
    ones are tried again.
    """
    try:
        return _submit(tenant, deliveries)
    except (OperationalError, InterfaceError):
        raise  # a fault of the database: the whole turn is retried
    except TenantSuspendedError:
        return SubmittedDeliveries(0, LONGEST_REST_SECONDS)
    except Exception:
        logger.exception("relay.broken", extra={"tenant": str(tenant.pk), "deliveries": len(deliveries)})
        return SubmittedDeliveries(0, LONGEST_REST_SECONDS)


class _GapError(Exception):
    """A delivery was accepted after one that must wait; the savepoint must be rolled back."""


def _submit(tenant: Tenant, deliveries: Sequence[EventDelivery]) -> SubmittedDeliveries:
    stop, rest_seconds = len(deliveries), 0.0
    try:
        with tenant_context(tenant):
            bulk = submit_jobs(tenant=tenant, requests=[delivery.request() for delivery in deliveries])
            stop, rest_seconds = _first_to_wait(bulk, len(deliveries))
            _refuse_gap(bulk, stop)
    except _GapError:
        # Deliveries are submitted in order only, so that one position describes the progress.
        return SubmittedDeliveries(_submit(tenant, deliveries[:stop]).count if stop else 0, rest_seconds)
    for index, error in bulk.rejected:
        if index < stop:
            facts = {"tenant": str(tenant.pk), "event": str(deliveries[index].event.id), "cause": error.detail}
            logger.error("relay.refused", extra=facts)
    return SubmittedDeliveries(stop, rest_seconds)


def _refuse_gap(bulk: BulkSubmission, stop: int) -> None:
    if any(index > stop for index, _ in bulk.accepted):
        raise _GapError


def _first_to_wait(bulk: BulkSubmission, count: int) -> tuple[int, float]:
    for index, error in bulk.rejected:
        if error.category in {"limited", "unavailable"}:
            return index, _rest_of(error)
    return count, 0.0


def _rest_of(refusal: DomainError) -> float:
    return min(max(REST_SECONDS, refusal.retry_after_seconds or 0.0), LONGEST_REST_SECONDS)


def _traits_of(event: PublishedEvent) -> JobFacts:
    is_known = bool(event.error_type) and is_readable(event.error_message)
    fingerprint = fingerprint_of(event.error_type, event.error_message) if is_known else ""
    return from_row(JobFacts, event, batch=event.batch_id, parent=event.parent_id, error_fingerprint=fingerprint)
