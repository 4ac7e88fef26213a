"""Messages to contacts: their frozen bodies, and the jobs that deliver them.

A message, its notices and its job are committed together with the change that they report. The jobs belong to a tenant
of their own, so that no tenant's pause, cap or backlog delays an alert; where even that tenant cannot submit, the
senders of the dispatchers deliver the message.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.urls import reverse
from django.utils.translation import gettext

from scheduling.alerts.contact_models import Channel
from scheduling.alerts.measures import ALERT_ACTOR
from scheduling.conf import ALERT_KIND
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import Alert, AlertMessage, AlertNotice, Contact
from tenants.context import acting_as, all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7
from tenants.database.platform_settings import platform_settings
from tenants.mail import WITHOUT_SERVER
from tenants.models import Plan, Tenant
from tenants.tenancy.service import create_tenant

logger = logging.getLogger(__name__)

# Alerts that a message describes; it counts the others.
SHOWN_ALERTS = 20
MAX_CAUSE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class NoticeBatch:
    """The notices that become one message to a contact, and their alerts with their rules, the most urgent first."""

    notice_ids: Sequence[UUID]
    alerts: Sequence[Alert]
    what: str = AlertMessage.What.ALERTS


def enqueue(batches: Mapping[UUID, NoticeBatch], now: datetime) -> int:
    """Create a message for each contact, and the jobs that deliver them, in the caller's transaction; return how many.

    It needs the scope of all tenants.
    """
    contacts = Contact.objects.in_bulk(list(batches))
    messages = [
        new_message(contacts[contact_id], body_of(batch.alerts), now, what=batch.what)
        for contact_id, batch in batches.items()
    ]
    store(messages)
    for message, batch in zip(messages, batches.values(), strict=True):
        AlertNotice.objects.filter(pk__in=batch.notice_ids).update(message=message)
    return len(messages)


def send_notice(
    *,
    tenant_id: UUID | None,
    subject: str,
    text: str,
    addresses: Sequence[str] = (),
    contacts: Sequence[Contact] = (),
    what: str = AlertMessage.What.NOTICE,
) -> list[AlertMessage]:
    """Create the message of a text to contacts, or to mail addresses, in the caller's transaction; return them."""
    now = read_clock()
    messages = [new_message(contact, {"subject": subject, "text": text}, now, what=what) for contact in contacts]
    for address in addresses:
        message = new_message(None, {"subject": subject, "text": text, "addresses": [address]}, now, what=what)
        message.tenant_id = tenant_id
        messages.append(message)
    with all_tenants():
        store(messages)
    return messages


def new_message(
    contact: Contact | None, content: Mapping[str, Any], now: datetime, *, what: str = AlertMessage.What.ALERTS
) -> AlertMessage:
    """Return a message that is due now, unsaved."""
    tenant_id = None if contact is None else contact.tenant_id
    message = AlertMessage(pk=uuid7(), tenant_id=tenant_id, contact=contact, what=what, due_at=now)
    url = absolute_url(reverse("admin:index"))
    message.body = {"id": str(message.pk), "what": str(what), "at": now.isoformat(), "url": url, **content}
    return message


def body_of(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return the body of a message about alerts: the first ones, and how many more there are."""
    shown = [_facts_of(alert) for alert in alerts[:SHOWN_ALERTS]]
    return {"alerts": shown, "more": len(alerts) - len(shown)}


def absolute_url(path: str) -> str:
    """Return the URL of a page of the console; only its path if PUBLIC_URL is not set."""
    url: str = platform_settings.PUBLIC_URL
    return url.rstrip("/") + path


def store(messages: Sequence[AlertMessage]) -> None:
    """Save new messages with the jobs that deliver them. It needs the scope of all tenants."""
    sendable = []
    for message in messages:
        is_mail = message.contact is None or message.contact.channel in (Channel.MAIL, Channel.ROLE)
        if is_mail and not settings.EMAIL_HOST:
            # No attempt would change it.
            message.state, message.error = AlertMessage.State.FAILED, WITHOUT_SERVER
        else:
            sendable.append(message)
    if sendable:
        _submit(sendable)
    AlertMessage.objects.bulk_create(messages)


def _submit(messages: Sequence[AlertMessage]) -> None:
    """Submit the jobs of messages and set their ids; dispatchers send the messages whose submission has failed."""
    requests = [
        JobRequest(kind=ALERT_KIND, payload={"message": str(message.pk)}, is_internal=True) for message in messages
    ]
    try:
        bulk = submit_jobs(tenant=_alert_tenant(), requests=requests)
    except (OperationalError, InterfaceError):
        raise  # a fault of the database: the whole turn is retried
    except Exception:
        logger.exception("alert_messages.without_jobs", extra={"messages": len(messages)})
        return
    for index, submission in bulk.accepted:
        messages[index].job_id = submission.job.pk


def _alert_tenant() -> Tenant:
    """Return the tenant whose jobs deliver messages; the first message creates it, on a plan of the highest tier."""
    slug = platform_settings.ALERTS_TENANT
    found: Tenant | None = Tenant.objects.select_related("plan").filter(slug=slug).first()
    if found is None:
        plan = Plan.objects.order_by("-tier__rank", "pk")[0]
        with acting_as(ALERT_ACTOR):
            found = create_tenant(slug=slug, plan=plan, name=gettext("Alert messages"))
    return found


def _facts_of(alert: Alert) -> dict[str, Any]:
    rule, facts = alert.rule, alert.facts
    cause = None
    if message := facts.get("message"):
        job = facts.get("job")
        cause = {
            "fingerprint": facts.get("fingerprint", ""),
            "message": message[:MAX_CAUSE_CHARACTERS],
            "job_url": absolute_url(reverse("admin:scheduling_job_change", args=[job])) if job else "",
        }
    since = alert.fired_at or alert.pending_at
    return {
        "id": str(alert.pk),
        "name": alert.rule_name,
        "severity": alert.severity,
        "state": alert.state,
        "object": alert.label,
        "object_type": alert.object_key.partition(":")[0],
        "value": alert.value,
        "peak": alert.peak,
        "unit": facts.get("unit", ""),
        "comparison": rule.comparison if rule else "",
        "threshold": alert.threshold,
        "for_seconds": rule.for_seconds if rule else 0,
        "since": f"{since:%Y-%m-%d %H:%M:%S} UTC" if since else "",
        "tenants": alert.tenants,
        "tenants_count": alert.tenants_count,
        "acknowledged_by": alert.acknowledged_by,
        "cause": cause,
        "url": absolute_url(reverse("admin:scheduling_alert_change", args=[alert.pk])),
        "runbook_url": f"{platform_settings.RUNBOOK_URL}#{rule.runbook}" if rule and rule.runbook else "",
    }
