"""Changes of alerts by users: acknowledge, record what helped, and silence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from uuid import UUID

from scheduling.alerts.config import SILENCES
from scheduling.alerts.exceptions import AlertNotFoundError, AlertResolvedError, AlertStillBeyondError
from scheduling.alerts.rules import RESOLVED
from scheduling.models import Alert, AlertSilence
from tenants.audit.service import record_audit
from tenants.context import require_scope, scope_context, tenant_context
from tenants.database.clock import read_clock
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.tenancy.pausing import actor_words, check_until, require_reason

# More than the time for which any rule waits before it resolves an alert.
CLEAR_FOR_LONG = 1e9
# The end of an alert's notes that is kept.
MAX_NOTES = 8_000


def acknowledge(*, alert_id: UUID, note: str = "") -> Alert:
    """Acknowledge an open alert: it does not escalate, and contacts are notified only of its end.

    A second acknowledgement replaces the name of the first, and may add a note.
    """

    def change(alert: Alert) -> None:
        _require_open(alert)
        alert.acknowledged_by, alert.acknowledged_at = actor_words(), read_clock()
        _append_note(alert, note)

    return _change(alert_id, "alert.acknowledged", change, note)


def resolve_by_hand(*, alert_id: UUID, outcome: str = "", note: str = "") -> Alert:
    """Record the outcome of an alert, and let the next evaluation resolve it if its value is clear.

    Raise `AlertStillBeyondError` if it is not: the alert would fire again at once.
    """
    if outcome not in ("", *Alert.Outcome.values):
        allowed = ", ".join(Alert.Outcome.values)
        raise FieldInvalidError("outcome: It must be one of %(allowed)s.", {"allowed": allowed})

    def change(alert: Alert) -> None:
        if alert.state != RESOLVED:
            if not alert.clear_held_seconds:
                raise AlertStillBeyondError
            alert.clear_held_seconds = CLEAR_FOR_LONG
        alert.outcome, alert.outcome_note = outcome or alert.outcome, note[:500]

    return _change(alert_id, "alert.resolved", change, note)


def silence(*, alert_id: UUID, until: datetime | None, reason: str) -> AlertSilence:
    """Silence an alert's rule for its object until a time, an hour if none is given."""
    reason = require_reason(reason)
    now = check_until(until)
    ends_at = until or now + timedelta(hours=1)
    with scope_context(require_scope()):
        alert = find_alert(alert_id)
        values = {"rule": alert.rule, "object_key": alert.object_key, "ends_at": ends_at, "reason": reason}
        with tenant_context(alert.tenant_id) if alert.tenant_id else nullcontext():
            return SILENCES.save(AlertSilence(starts_at=now), values, reason=reason)


def find_alert(alert_id: UUID) -> Alert:
    """Return the alert; raise `AlertNotFoundError` if the current scope has none with this id."""
    return first_or_raise(Alert.objects.select_related("rule").filter(pk=alert_id), AlertNotFoundError)


def _change(alert_id: UUID, action: str, change: Callable[[Alert], None], reason: str) -> Alert:
    with scope_context(require_scope()):
        locked = Alert.objects.select_for_update(of=("self",), no_key=True).filter(pk=alert_id)
        alert = first_or_raise(locked, AlertNotFoundError)
        before = _facts(alert)
        change(alert)
        # Only these: an evaluation sets the others.
        alert.save(
            update_fields=[
                "acknowledged_by", "acknowledged_at", "note", "outcome", "outcome_note", "clear_held_seconds",
            ]
        )  # fmt: skip
        record_audit(action=action, target=alert, before=before, after=_facts(alert), reason=reason)
    return find_alert(alert_id)


def _require_open(alert: Alert) -> None:
    if alert.state == RESOLVED:
        raise AlertResolvedError


def _append_note(alert: Alert, note: str) -> None:
    if note.strip():
        line = f"{read_clock():%Y-%m-%d %H:%M} {actor_words()}: {note.strip()}"
        alert.note = f"{alert.note}\n{line}".strip()[-MAX_NOTES:]


def _facts(alert: Alert) -> dict[str, object]:
    return {
        "rule": alert.rule_name,
        "object": alert.object_key,
        "state": alert.state,
        "acknowledged_by": alert.acknowledged_by,
        "outcome": alert.outcome,
    }
