"""Services that force a load state for a time, and release it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from scheduling.load.exceptions import LoadScopeNotFoundError
from scheduling.load.models import LoadState
from scheduling.load.rules import Level
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError
from tenants.tenancy.pausing import actor_words, check_until, require_reason

REASON_LIMIT = 200
USUAL, LONGEST = timedelta(hours=1), timedelta(days=1)


@transaction.atomic
def force_level(*, scope: str, level: Level, until: datetime | None = None, reason: str) -> LoadState:
    """Let a state apply until ``until``, in an hour by default, whatever is measured; a repeated call replaces it.

    Raise LoadScopeNotFoundError, ReasonRequiredError, or FieldInvalidError for an end more than a day ahead.
    """
    with all_tenants():
        now = check_until(until)
        until = until or now + USUAL
        if until > now + LONGEST:
            raise FieldInvalidError.at("until", gettext("It may be at most a day ahead."))
        forced = {
            "forced_level": level,
            "forced_until": until,
            "forced_reason": require_reason(reason, max_length=REASON_LIMIT),
            "forced_by": actor_words(),
        }
        return _change(scope, "load.forced", forced, reason)


@transaction.atomic
def release_level(*, scope: str, reason: str = "") -> LoadState:
    """End a forced state, so that the measured one applies. Raise LoadScopeNotFoundError."""
    with all_tenants():
        nothing = {"forced_level": None, "forced_until": None, "forced_reason": "", "forced_by": ""}
        return _change(scope, "load.released", nothing, reason)


def _change(scope: str, action: str, values: dict[str, Any], reason: str) -> LoadState:
    row = LoadState.objects.select_for_update(no_key=True).filter(scope=scope).first()
    if row is None:
        raise LoadScopeNotFoundError("There is no load state of %(scope)r.", {"scope": scope})
    before = {name: getattr(row, name) for name in ("forced_level", "forced_until")}
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))
    target = AuditTarget("scheduling.loadstate", scope)
    after = {name: values[name] for name in before}
    record_audit(action=action, target=target, before=before, after=after, reason=reason)
    return row
