"""Names that were tried with wrong passwords too often: whether one is locked, and letting it in again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from axes.models import AccessAttempt
from axes.utils import reset
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Max, Sum
from django.utils import timezone

from tenants.context import all_tenants
from tenants.services.audit import AuditTarget, record_audit


def locked_until(user: Any) -> datetime | None:
    """When the last of the lockouts of `user`'s name ends; None if it is locked out from nowhere."""
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    attempts = AccessAttempt.objects.filter(username=user.get_username(), attempt_time__gt=since)
    by_address = attempts.values("ip_address").annotate(failures=Sum("failures_since_start"), last=Max("attempt_time"))
    locked = [row["last"] for row in by_address if row["failures"] >= settings.AXES_FAILURE_LIMIT]
    return max(locked) + settings.AXES_COOLOFF_TIME if locked else None


def unlock_logins(*, name: str | None = None, address: str | None = None, reason: str = "") -> int:
    """Forget the failed log-ins of a name, of an address, of both together, or with neither all; how many rows.

    A name need not be an account's: whoever mistypes it is locked out just so.
    """
    with all_tenants():
        forgotten = reset(username=name, ip=address)
        if forgotten:
            user = get_user_model()._default_manager.filter(username=name).first() if name else None
            target = AuditTarget("auth.user") if user is None else user
            after = {"name": name or "all", "address": address or "all", "forgotten": forgotten}
            record_audit(action="user.unlocked", target=target, after=after, reason=reason)
    return int(forgotten)


def unlock_user(*, user: Any, reason: str = "") -> None:
    """Forget the failed log-ins of `user`'s name, from everywhere."""
    with all_tenants():
        if reset(username=user.get_username()):
            record_audit(action="user.unlocked", target=user, after={"name": user.get_username()}, reason=reason)
