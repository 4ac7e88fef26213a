"""Receivers of Django's log-in signals that write audit entries of log-ins, log-outs and failed log-ins.

The entries are in the platform's chain of the audit log, because an account belongs to no tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest

from tenants.audit.service import AuditTarget, record_audit
from tenants.context import Actor, acting_as, all_tenants
from tenants.database.platform_settings import platform_settings

BREAK_GLASS = "session.break_glass"
_TARGET = settings.AUTH_USER_MODEL.lower()


def record_session_opened(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Write the audit entry of a log-in (receiver of `user_logged_in`)."""
    _record("session.opened", request, user)


def record_break_glass(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Write the audit entry that an alert follows if a local account for emergencies logs in."""
    if user.get_username() in platform_settings.BREAK_GLASS_ACCOUNTS:
        _record(BREAK_GLASS, request, user)


def record_factor_refused(sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Write the audit entry of a wrong code (receiver of django-allauth's `authentication_failed`)."""
    _record("second_factor.refused", request, user)


def record_session_closed(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Write the audit entry of a log-out (receiver of `user_logged_out`), unless the session was anonymous."""
    if user is not None:
        _record("session.closed", request, user)


def record_session_refused(
    sender: Any, credentials: Mapping[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    """Write the audit entry of a failed log-in (receiver of `user_login_failed`).

    The entered name is stored only if it is the name of an account, because people type passwords into that field.
    """
    users = get_user_model()
    given = str(credentials.get(users.USERNAME_FIELD) or "").replace("\x00", "")
    user = users._default_manager.filter(**{users.USERNAME_FIELD: given[:150]}).first()
    _record("session.refused", request, user)


def _record(action: str, request: HttpRequest | None, user: Any) -> None:
    address = "" if request is None else request.META.get("REMOTE_ADDR", "")
    request_id = getattr(request, "request_id", "")
    if action == "session.refused" or user is None:
        actor = Actor(kind="system", label="anonymous request", request_id=request_id)
    else:
        actor = Actor(kind="user", id=str(user.pk), label=user.get_username(), request_id=request_id)
    target = AuditTarget(_TARGET, "" if user is None else str(user.pk))
    account = {"account": None if user is None else user.get_username(), "address": address}
    with all_tenants(), acting_as(actor):
        record_audit(action=action, target=target, after=account)
