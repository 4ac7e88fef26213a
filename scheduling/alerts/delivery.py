"""Delivery of a message: claim, send, settle. A job of the kind `alert_delivery` and the dispatchers' sender call it.

The process that sets the claim sends; a claim that is not settled expires. The message is then sent again with the same
id, by which mail, PagerDuty, Opsgenie and webhooks recognise it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from scheduling.alerts import templates
from scheduling.alerts.contact_models import MAX_ERROR, Channel
from scheduling.alerts.contacts import addresses_of, count_failure
from scheduling.kit.base import PermanentError, TransientError
from scheduling.kit.http import Limits, read_target, send
from scheduling.models import AlertMessage, Contact
from scheduling.signals import alert_message_ended
from tenants.context import all_tenants
from tenants.mail import WITHOUT_SERVER, deliver_mail
from tenants.secrets.signing import SecretUnreadableError, headers_of, unseal

logger = logging.getLogger(__name__)

LIMITS = Limits(connect_seconds=5.0, read_seconds=8.0, total_seconds=10.0, body_bytes=4_096, redirects=0)
# Two hours in all.
DELAYS_SECONDS = (10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600)
MAX_ATTEMPTS = len(DELAYS_SECONDS) + 1
CLAIM_SECONDS = 90
# A process that was stopped for longer since its claim does not send: another may have taken over.
USABLE_CLAIM_SECONDS = 45.0
HEALING_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Sending:
    """A claimed message with what is needed to send it, without a database."""

    message: AlertMessage
    channel: str
    target: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    addresses: Sequence[str] = ()
    error: str = ""
    claimed_at: float = field(default_factory=time.monotonic)

    @property
    def is_last_attempt(self) -> bool:
        """Return whether it is not tried again: a test is tried once."""
        return self.message.attempt >= MAX_ATTEMPTS or self.message.what == AlertMessage.What.TEST


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended. ``is_contacts_fault``: it counts towards the disabling of the contact."""

    error: str = ""
    status: int | None = None
    is_final: bool = False
    retry_after_seconds: float | None = None
    is_contacts_fault: bool = True


def claim(message_id: UUID, *, overdue_seconds: int = -1) -> Sending | None:
    """Claim a message that is due, or was due for some seconds; return None if another process has it or will.

    The condition and the change are one statement, so that one process gets it.
    """
    with all_tenants():
        number = uuid4()
        claimed = AlertMessage.objects.filter(claimable(overdue_seconds), pk=message_id).update(
            state=AlertMessage.State.SENDING, claim=number, claimed_at=Now(), attempt=F("attempt") + 1
        )
        if not claimed:
            return None
        return open_message(AlertMessage.objects.select_related("contact").get(pk=message_id, claim=number))


def claimable(overdue_seconds: int) -> Q:
    """Return the condition of messages that are due for that long, or whose claim has expired."""
    queued = Q(state=AlertMessage.State.QUEUED, due_at__lte=Now() - timedelta(seconds=overdue_seconds))
    lost = Q(state=AlertMessage.State.SENDING, claimed_at__lt=Now() - timedelta(seconds=CLAIM_SECONDS))
    return queued | lost


def open_message(message: AlertMessage) -> Sending:
    """Return what is needed to send a message. It needs the scope of all tenants."""
    contact: Contact | None = message.contact
    if contact is None:
        return Sending(message, Channel.MAIL, addresses=message.body["addresses"])
    if not contact.is_enabled and message.what != AlertMessage.What.TEST:
        return Sending(message, contact.channel, error=contact.disabled_reason or "The contact is disabled.")
    try:
        target, secret = (unseal(each) if each else "" for each in (contact.sealed_target, contact.sealed_secret))
    except SecretUnreadableError:
        return Sending(message, contact.channel, error="The target is sealed with another SECRET_KEY: set it again.")
    if contact.channel in (Channel.MAIL, Channel.ROLE):
        return Sending(message, contact.channel, addresses=addresses_of(contact, target))
    return Sending(message, contact.channel, target, secret)


def transmit(sending: Sending) -> Result:
    """Send a claimed message and return the result; it uses no database and raises nothing."""
    if sending.error or sending.message.attempt > MAX_ATTEMPTS:
        return Result(sending.error or "No attempt of it ended.", is_final=True)
    if time.monotonic() - sending.claimed_at > USABLE_CLAIM_SECONDS:
        return Result("The process was stopped before it sent.", is_contacts_fault=False)
    try:
        if sending.channel in (Channel.MAIL, Channel.ROLE):
            return _mail(sending)
        return _post(sending)
    except PermanentError as error:
        return Result(str(error), is_final=True)
    except TransientError as error:
        return Result(str(error))
    except Exception as error:
        logger.exception("alert_message.broken", extra={"alert_message": str(sending.message.pk)})
        return Result(f"{type(error).__name__}", is_final=True, is_contacts_fault=False)


def _mail(sending: Sending) -> Result:
    message = sending.message
    if not settings.EMAIL_HOST:
        return Result(WITHOUT_SERVER, is_final=True, is_contacts_fault=False)
    if not sending.addresses:
        return Result("No account with an address has the role.", is_final=True)
    body = message.body
    error = deliver_mail(
        recipients=sending.addresses,
        subject=templates.subject_of(body),
        text=templates.text_of(body) + "\n",
        headers={"Message-ID": f"<{message.pk}@jobs-platform>", "Auto-Submitted": "auto-generated"},
        # Holders of a role do not see each other's addresses.
        is_blind=sending.channel == Channel.ROLE or message.contact_id is None,
    )
    return Result(error)


def _post(sending: Sending) -> Result:
    identity = str(sending.message.pk)
    status = None
    for request in templates.TEMPLATES[sending.channel](sending.message.body, sending.target):
        headers = [("Content-Type", "application/json"), *request.headers]
        if sending.secret:
            now = int(time.time())
            headers += headers_of([sending.secret], message_id=identity, timestamp=now, body=request.body)
        answer = send("POST", request.url, headers=headers, body=request.body, limits=LIMITS)
        status = answer.status
        if not 200 <= status < 300:
            is_final = 300 <= status < 500 and status not in HEALING_STATUSES
            error = f"{read_target(request.url).authority} answered with the status {status}."
            return Result(error, status, is_final, answer.retry_after_seconds)
    return Result(status=status)


def settle(sending: Sending, result: Result) -> float | None:
    """Store the result unless the claim was lost; return the seconds until the next attempt, or None without one."""
    delay: float | None = None
    state = AlertMessage.State.SENT
    if result.error:
        is_final = result.is_final or sending.is_last_attempt
        state = AlertMessage.State.FAILED if is_final else AlertMessage.State.QUEUED
        if not is_final:
            delay = max(DELAYS_SECONDS[sending.message.attempt - 1], result.retry_after_seconds or 0.0)
    values: dict[str, Any] = {"state": state, "status": result.status, "error": result.error[:MAX_ERROR]}
    values |= {"sent_at": Now()} if state == AlertMessage.State.SENT else {}
    values |= {"due_at": Now() + timedelta(seconds=delay)} if delay is not None else {}
    with all_tenants():
        if not AlertMessage.objects.filter(pk=sending.message.pk, claim=sending.message.claim).update(
            **values, claim=None
        ):
            return None
        if state == AlertMessage.State.SENT:
            Contact.objects.filter(messages=sending.message.pk).exclude(failures=0).update(failures=0)
        elif state == AlertMessage.State.FAILED and result.is_contacts_fault:
            count_failure(sending.message, result.error)
    if delay is None:
        alert_message_ended.send(None, channel=sending.channel, is_sent=not result.error)
    return delay
