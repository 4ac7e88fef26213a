"""Changes of the inbox: triggers, and events that start jobs exactly once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from scheduling.configuration.service import Configured
from scheduling.exceptions import KindUnknownError
from scheduling.inbox.exceptions import EventMismatchError, EventTooLargeError
from scheduling.inbox.models import EventTrigger, InboxEvent
from scheduling.jobs.job_templates.exceptions import JobTemplateNotFoundError
from scheduling.jobs.job_templates.service import TEMPLATES, request_by
from scheduling.jobs.requests import JobRequest, check_depth
from scheduling.jobs.submission import submit_jobs
from scheduling.kit import registry
from scheduling.outbox.rules import matches_topic
from scheduling.outbox.service import check_topic_pattern
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.database.prepared import execute
from tenants.database.sql import load_sql
from tenants.encryption.fields import digest_of
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tenants.translation import translate

_INSERT = load_sql(__file__)["insert_event"]
MAX_EVENT_BYTES = 64 * 1024
MAX_TRIGGERS = 20


@dataclass(frozen=True, slots=True)
class Receipt:
    """A stored event; ``is_duplicate``: it was stored before, and starts nothing now."""

    event: InboxEvent
    is_duplicate: bool


def check_trigger(trigger: EventTrigger) -> None:
    """Raise FieldInvalidError for a trigger that could start no job."""
    if trigger.tenant_id is None:
        raise FieldInvalidError.at("tenant", translate("Choose a tenant."))
    check_topic_pattern(trigger.topic)
    if bool(trigger.kind) == bool(trigger.template):
        raise FieldInvalidError.at("kind", translate("Give a kind or a template, and not both."))
    try:
        if trigger.kind and registry.get(trigger.kind).is_internal:
            raise FieldInvalidError.at("kind", translate("Only the platform submits jobs of this kind."))
        if trigger.template:
            with tenant_context(trigger.tenant_id):
                TEMPLATES.find(trigger.template)
    except KindUnknownError as error:
        raise FieldInvalidError.at("kind", error.detail) from error
    except JobTemplateNotFoundError as error:
        raise FieldInvalidError.at("template", translate("There is no such template.")) from error


EVENT_TRIGGERS = Configured(
    EventTrigger, ("name", "topic", "kind", "template", "is_enabled"), check_trigger, most=MAX_TRIGGERS
)


def receive_event(*, tenant: Tenant, topic: str, source: str, event_id: str, data: Mapping[str, Any]) -> Receipt:
    """Store an event and submit the jobs of its triggers in one transaction; of a repeated event, return the first.

    A job that is refused refuses the event with its error, so that the source sends it again. Raise
    `EventTooLargeError`, or `EventMismatchError` if the source has used the id for another event.
    """
    check_depth(data)
    text = json.dumps({"topic": topic, "data": data}, sort_keys=True, separators=(",", ":"))
    if len(text) > MAX_EVENT_BYTES:
        raise EventTooLargeError("It has %(size)s bytes; the limit is %(limit)s.", {
            "size": f"{len(text):,}", "limit": f"{MAX_EVENT_BYTES:,}",
        })  # fmt: skip
    with tenant_context(tenant):
        fingerprint = digest_of(tenant.pk, hashlib.sha256(text.encode()).digest())
        key = uuid7()
        values = {"id": key, "tenant_id": tenant.pk, "source": source, "event_id": event_id, "topic": topic}
        is_new = execute(_INSERT, {**values, "fingerprint": fingerprint}) == 1
        event = InboxEvent.objects.get(source=source, event_id=event_id)
        if not is_new:
            if bytes(event.fingerprint) != fingerprint:
                raise EventMismatchError
            return Receipt(event, is_duplicate=True)
        event.jobs = _start_jobs(tenant, event, data)
        event.save(update_fields=["jobs"])
        facts = {"source": source, "topic": topic, "jobs": len(event.jobs)}
        record_audit(action="event.received", target=event, after=facts)
    return Receipt(event, is_duplicate=False)


def _start_jobs(tenant: Tenant, event: InboxEvent, data: Mapping[str, Any]) -> list[UUID]:
    triggers = EventTrigger.objects.filter(is_enabled=True).order_by("pk")
    requests = [_request_of(each, event, data) for each in triggers if matches_topic(each.topic, event.topic)]
    if not requests:
        return []
    with suppress_nested_entries():
        bulk = submit_jobs(tenant=tenant, requests=requests, is_rate_limited=True, is_atomic=True)
    return [submission.job.pk for _, submission in bulk.accepted]


def _request_of(trigger: EventTrigger, event: InboxEvent, data: Mapping[str, Any]) -> JobRequest:
    meta = {"event": f"{event.source}:{event.event_id}"[:200]}
    if trigger.template:
        return request_by(TEMPLATES.find(trigger.template), data, meta=meta)
    return JobRequest(kind=trigger.kind, payload=dict(data), meta=meta)
