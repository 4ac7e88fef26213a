"""Notices: which contacts a transition of an alert notifies, and when several notices become one message."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from scheduling.alerts.contact_models import Severity
from scheduling.alerts.messages import NoticeBatch, enqueue
from scheduling.alerts.routing import AddressBook, contacts_for, is_as_severe, read_book
from scheduling.alerts.rules import FIRING
from scheduling.alerts.suppression import Subject, judge
from scheduling.models import Alert, AlertMessage, AlertNotice, AlertRule, AlertSilence, Contact
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# A contact's first message waits for others; the next one follows at least after the interval of its severity.
WAIT = timedelta(seconds=3)
INTERVALS = {True: timedelta(seconds=15), False: timedelta(seconds=60)}
# An alert that fires again notifies once in this time.
REOPENED_INTERVAL = timedelta(minutes=10)
HOUR = timedelta(hours=1)
_RANK = {severity: rank for rank, severity in enumerate(reversed(Severity.values))}
_DUE = load_sql(__file__)["due_notices"]
What = AlertNotice.What


class Notifier:
    """The notices of one evaluation: `judge` sets what keeps each alert from notifying, `write` stores the notices."""

    def __init__(
        self, now: datetime, rules: Mapping[UUID, AlertRule], opened: Sequence[Alert], reopened: Collection[UUID]
    ) -> None:
        self._now, self._rules, self._open, self._reopened = now, rules, opened, reopened
        self._notices: list[tuple[Alert, str, Iterable[Contact]]] = []

    @cached_property
    def _book(self) -> AddressBook:
        return read_book()

    def judge(self, fired: Collection[UUID]) -> list[Alert]:
        """Set what silences or inhibits each firing alert, and queue notices; return the alerts that have changed."""
        current = AlertSilence.objects.filter(starts_at__lte=self._now, ends_at__gt=self._now)
        silences = list(current.order_by("pk"))
        subjects = {alert.pk: self._subject(alert) for alert in self._open}
        sources = [subject for subject in subjects.values() if subject.inhibits]
        firing = [alert for alert in self._open if alert.state == FIRING]
        changed, freed, held = [], [], []
        for alert in firing:
            verdict = judge(subjects[alert.pk], sources, silences)
            before = alert.silence_id, alert.inhibited_by
            if verdict.is_sent and before != (None, None) and alert.clear_held_seconds:
                # Its value is clear too: unless it returns, no notification is needed.
                continue
            alert.silence_id, alert.inhibited_by = verdict.silenced_by, verdict.inhibited_by
            if not verdict.is_sent and before == (None, None):
                held.append(alert.pk)
            elif verdict.is_sent and alert.pk not in fired and before != (None, None):
                freed.append(alert)
            elif verdict.is_sent and (alert.pk in fired or self._is_due_to_escalate(alert)):
                self._queue(alert, What.FIRED if alert.pk in fired else What.ESCALATED)
            elif before == (alert.silence_id, alert.inhibited_by):
                continue
            changed.append(alert)
        if held:
            # Unsent notices are dropped; the alert notifies when its silence or the alert that inhibits it ends.
            AlertNotice.objects.filter(alert__in=held, message=None, dropped="").update(dropped="suppressed")
        notified = _notified_contacts(freed, is_sent=False)
        for alert in freed:
            if alert.pk not in notified:
                self._queue(alert, What.FIRED)
        return changed

    def write(self, resolved: Sequence[Alert]) -> None:
        """Store the queued notices, and those of alerts that have resolved; drop what resolved before it was sent."""
        notified = _notified_contacts(resolved)
        unsent = AlertNotice.objects.filter(alert__in=[alert.pk for alert in resolved], message=None, dropped="")
        if resolved:
            unsent.update(dropped="resolved")
            contacts = {contact.id: contact for group in self._book.contacts.values() for contact in group}
        for alert in resolved:
            found = [contacts[key] for key in notified.get(alert.pk, ()) if key in contacts]
            if found:
                alert.revision += 1
                Alert.objects.filter(pk=alert.pk).update(revision=alert.revision)
                self._notices.append((alert, What.RESOLVED, found))
        AlertNotice.objects.bulk_create(
            [
                AlertNotice(
                    tenant_id=contact.tenant_id,
                    alert=alert,
                    revision=alert.revision,
                    contact_id=contact.id,
                    what=what,
                    due_at=self._due_at(alert, what),
                )
                for alert, what, found in self._notices
                for contact in found
            ],
            ignore_conflicts=True,
        )

    def _rule_of(self, alert: Alert) -> AlertRule:
        assert alert.rule_id is not None  # alerts without a rule are resolved
        return self._rules[alert.rule_id]

    def _subject(self, alert: Alert) -> Subject:
        rule = self._rule_of(alert)
        return Subject(
            alert.pk, alert.tenant_id, alert.rule_id, rule.measure, alert.object_key, alert.object.get("parents", ()),
            alert.about_tenant, rule.inhibits, alert.severity,
        )  # fmt: skip

    def _is_due_to_escalate(self, alert: Alert) -> bool:
        rule = self._rule_of(alert)
        return (
            rule.escalate_to is not None
            and rule.escalate_minutes is not None
            and rule.tenant_id == alert.tenant_id
            and alert.escalated_at is None
            and not alert.acknowledged_by
            and alert.held_seconds >= 60 * rule.escalate_minutes
        )

    def _queue(self, alert: Alert, what: str) -> None:
        alert.revision += 1
        rule = self._rule_of(alert)
        if what == What.ESCALATED and rule.escalate_to_id is not None:
            alert.escalated_at = self._now
            group = self._book.contacts.get(rule.escalate_to_id, ())
            found = [contact for contact in group if is_as_severe(alert.severity, contact.min_severity)]
        else:
            found = list(contacts_for(self._subject(alert), self._book, self._now))
        self._notices.append((alert, what, found))

    def _due_at(self, alert: Alert, what: str) -> datetime:
        due_at = self._now + WAIT
        if what != What.FIRED or alert.pk not in self._reopened:
            return due_at
        last = (
            AlertNotice.objects.filter(alert=alert, what=What.FIRED).exclude(message=None).order_by("-revision").first()
        )
        return due_at if last is None else max(due_at, last.due_at + REOPENED_INTERVAL)


def _notified_contacts(alerts: Sequence[Alert], *, is_sent: bool = True) -> dict[UUID, list[UUID]]:
    """Return by alert the contacts whose last notice reports it as firing, of all notices or of those sent."""
    if not alerts:
        return {}
    sent = AlertNotice.objects.filter(alert__in=[alert.pk for alert in alerts], dropped="")
    if is_sent:
        sent = sent.exclude(message=None)
    found: dict[UUID, list[UUID]] = {}
    for notice in sent.order_by("alert", "contact", "-revision").distinct("alert", "contact"):
        if notice.what != What.RESOLVED:
            found.setdefault(notice.alert_id, []).append(notice.contact_id)
    return found


def flush(now: datetime) -> int:
    """Turn the notices that are due into messages, one for each contact; return how many.

    A contact at its cap has one digest at the full hour; critical alerts may double the cap.
    """
    hour = now.replace(minute=0, second=0, microsecond=0)
    batches: dict[UUID, NoticeBatch] = {}
    for row in fetch_all(_DUE, {"since": uuid7_floor(now - HOUR), "hour": uuid7_floor(hour)}):
        what = AlertMessage.What.ALERTS
        if row.sent >= row.per_hour * (2 if row.is_critical else 1):
            if row.oldest_at >= hour or row.has_digest:
                continue
            what = AlertMessage.What.DIGEST
        elif row.last_at is not None and now - row.last_at < INTERVALS[row.is_critical]:
            continue
        alerts = list(Alert.objects.filter(pk__in=row.alert_ids).select_related("rule"))
        alerts.sort(key=lambda alert: (_RANK[alert.severity], alert.fired_at or now))
        batches[row.contact_id] = NoticeBatch(row.notice_ids, alerts, what)
    return enqueue(batches, now) if batches else 0
