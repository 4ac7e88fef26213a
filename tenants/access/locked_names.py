"""User names locked after too many wrong passwords: whether one is locked, and unlocking."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from axes.utils import reset
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Max, Sum
from django.http import HttpRequest
from django.utils import timezone

from tenants.access.devices import is_known_device
from tenants.access.lockouts import COOL_OFF, name_tried
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings


class LoginHandler(AxesDatabaseHandler):
    """Lockout handler of django-axes with a second limit: wrong passwords for one user name, summed over all addresses.

    A browser that has logged in to the account before is exempt from this limit, so that its owner is not locked out.
    """

    def is_locked(self, request: HttpRequest, credentials: Any = None) -> bool:
        """Return whether the log-in is refused, whatever its password."""
        if super().is_locked(request, credentials):
            return True
        name = name_tried(request, credentials)
        if name is None or _account_locked_until(name) is None or is_known_device(request, name):
            return False
        setattr(request, COOL_OFF, _account_lockout())
        return True


def locked_until(user: Any) -> datetime | None:
    """Return when the user's last lockout ends, or None if the user is not locked out."""
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    attempts = AccessAttempt.objects.filter(username=user.get_username(), attempt_time__gt=since)
    by_address = attempts.values("ip_address").annotate(failures=Sum("failures_since_start"), last=Max("attempt_time"))
    ends = [
        row["last"] + settings.AXES_COOLOFF_TIME for row in by_address if row["failures"] >= settings.AXES_FAILURE_LIMIT
    ]
    if account_end := _account_locked_until(user.get_username()):
        ends.append(account_end)
    return max(ends, default=None)


def _account_lockout() -> timedelta:
    """Return how long a failure counts against a name: at most AXES_COOLOFF_TIME, for which failures are stored."""
    lasts = timedelta(seconds=platform_settings.LOGIN_ACCOUNT_LOCKOUT_SECONDS)
    stored: timedelta = settings.AXES_COOLOFF_TIME
    return min(lasts, stored)


def _account_locked_until(name: str) -> datetime | None:
    """Return when the name's failures drop below the account limit, or None if they are below it now."""
    limit: int = platform_settings.LOGIN_ACCOUNT_FAILURE_LIMIT
    lasts = _account_lockout()
    if limit <= 0:
        return None
    recent = AccessAttempt.objects.filter(username=name, attempt_time__gt=timezone.now() - lasts)
    failures = 0
    last: datetime
    # Each row counts at least one failure, so `limit` rows are enough.
    for last, number in recent.order_by("-attempt_time").values_list("attempt_time", "failures_since_start")[:limit]:
        failures += number
        if failures >= limit:
            return last + lasts
    return None


def unlock_logins(*, name: str | None = None, address: str | None = None, reason: str = "") -> int:
    """Delete the failed log-ins of a name, an address, both together, or all of them if neither is given.

    Return the number of deleted rows. The name need not belong to an account: mistyped names are locked as well.
    """
    with all_tenants():
        forgotten = reset(username=name, ip=address)
        if forgotten:
            user = get_user_model()._default_manager.filter(username=name).first() if name else None
            target = AuditTarget(settings.AUTH_USER_MODEL.lower()) if user is None else user
            after = {"name": name or "all", "address": address or "all", "forgotten": forgotten}
            record_audit(action="user.unlocked", target=target, after=after, reason=reason)
    return int(forgotten)


def unlock_user(*, user: Any, reason: str = "") -> None:
    """Delete the failed log-ins of `user`'s name from all addresses."""
    with all_tenants():
        if reset(username=user.get_username()):
            record_audit(action="user.unlocked", target=user, after={"name": user.get_username()}, reason=reason)
