"""The one alert that cannot wait for the database: that PostgreSQL does not respond.

The dispatcher that evaluated the rules last keeps the addresses of the platform's default group in memory. If it dies
too, the heartbeat to the outside stops.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from scheduling.alerts.contact_models import Severity
from scheduling.alerts.delivery import Sending, open_message, transmit
from scheduling.alerts.messages import absolute_url, body_of, new_message, store
from scheduling.models import Alert, AlertClock, AlertMessage, Contact
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

OUTAGE_SECONDS = 15.0
# A message that could not be sent is tried again after this time.
REPEAT_SECONDS = 30.0


class OutageWatch:
    """Two duties of one thread: `look` uses no database, `prepare` shows by its success that the database responds."""

    def __init__(self, evaluator_id: UUID) -> None:
        self._evaluator_id = evaluator_id
        self._is_evaluator = False
        self._alive_at = self._looked_at = time.monotonic()
        self._due_at = 0.0
        self._unsent: list[Sending] = []
        self._sent: list[AlertMessage] = []
        self._outage_id = uuid7()

    def look(self) -> int:
        """Send the alert if the database has not responded for OUTAGE_SECONDS; return the number of messages sent."""
        now = time.monotonic()
        if now - self._looked_at > OUTAGE_SECONDS:
            # This process was stopped, not the database.
            self._alive_at = now
        self._looked_at = now
        if not self._is_evaluator or now - self._alive_at < OUTAGE_SECONDS or now < self._due_at:
            return 0
        self._due_at = now + REPEAT_SECONDS
        waiting, self._unsent = self._unsent, []
        for sending in waiting:
            result = transmit(replace(sending, claimed_at=time.monotonic()))
            if result.error:
                logger.error("database_outage.not_sent", extra={"cause": result.error})
                self._unsent.append(sending)
                continue
            message = sending.message
            message.state, message.sent_at, message.status = AlertMessage.State.SENT, timezone.now(), result.status
            self._sent.append(message)
        return len(waiting) - len(self._unsent)

    def prepare(self) -> None:
        """Read the contacts to notify; after an outage, store the messages that were sent, and send its end."""
        with all_tenants():
            self._is_evaluator = AlertClock.objects.filter(evaluated_by=self._evaluator_id).exists()
            default = Contact.objects.filter(group__tenant=None, group__is_default=True, is_enabled=True)
            contacts = list(default.select_related("group"))
            if self._sent:
                AlertMessage.objects.bulk_create(self._sent)
                notified = Contact.objects.filter(pk__in=[message.contact_id for message in self._sent])
                store(self._messages(list(notified), "resolved"))
            self._outage_id = uuid7()
            self._unsent = [open_message(message) for message in self._messages(contacts, "firing")]
        self._sent, self._alive_at, self._due_at = [], time.monotonic(), 0.0

    def _messages(self, contacts: Sequence[Contact], state: str) -> list[AlertMessage]:
        now, away = timezone.now(), max(time.monotonic() - self._alive_at, OUTAGE_SECONDS)
        alert = Alert(
            pk=self._outage_id,
            rule_name=gettext("PostgreSQL does not respond"),
            severity=Severity.CRITICAL.value,
            object_key="check:database",
            object={"label": platform.node()},
            state=state,
            value=away,
            peak=away,
            threshold=OUTAGE_SECONDS,
            fired_at=now,
            facts={"unit": "s"},
        )
        content = body_of([alert])
        runbook = f"{platform_settings.RUNBOOK_URL}#self-diagnosis"
        # It has no page: it is not stored.
        content["alerts"][0] |= {"url": absolute_url(reverse("admin:index")), "runbook_url": runbook}
        return [new_message(contact, content, now) for contact in contacts]
