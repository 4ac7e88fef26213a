"""Second factors: which accounts must have one, and which acts need a fresh one."""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext

from tenants.access.caller import Access
from tenants.access.permissions import NOTHING, Permission
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings

_P = Permission
# What a stolen session must not do: payloads in the clear, erasures, keys, plans, roles of people.
STEP_UP: Final = frozenset(
    {
        _P.JOBS_REVEAL,
        _P.TENANTS_ERASE,
        _P.API_KEYS_MANAGE,
        _P.PLANS_MANAGE,
        _P.TENANTS_MANAGE,
        _P.PEOPLE_MANAGE,
        _P.APPROVALS_DECIDE,
    }
)


def lacks_factor(user: Any, access: Access) -> bool:
    """Return whether the role of this session requires a second factor that the account does not have."""
    role = access.platform_role or access.role
    return role in platform_settings.SECOND_FACTOR_ROLES and not is_mfa_enabled(user)


def withheld_permissions(request: HttpRequest, access: Access) -> frozenset[Permission]:
    """Return the permissions that a session of the API lacks until a fresh second factor; the console asks for one."""
    held = access.granted & STEP_UP
    return held if held and _is_stale(request) else NOTHING


def ask_for_factor(request: HttpRequest, permission: Permission | None, back: str) -> HttpResponse | None:
    """Return a redirect to the page that asks for a code, and then to ``back``; None if no code is due."""
    if permission not in STEP_UP or not _is_stale(request):
        return None
    messages.info(request, gettext("This needs a fresh code of your second factor. Enter one, then repeat the act."))
    return HttpResponseRedirect(f"{reverse('mfa_reauthenticate')}?{urlencode({REDIRECT_FIELD_NAME: back})}")


def has_fresh_factor(request: HttpRequest, *, after: float = 0.0) -> bool:
    """Return whether the session has given a second factor within STEP_UP_SECONDS, and after that time (epoch)."""
    since = max(after, time.time() - platform_settings.STEP_UP_SECONDS)
    given = get_authentication_records(request, request.user)
    return any(record["method"] == "mfa" and record["at"] >= since for record in given)


def _is_stale(request: HttpRequest) -> bool:
    """Return whether the account has a second factor that this session has not given for STEP_UP_SECONDS."""
    return not has_fresh_factor(request) and bool(is_mfa_enabled(request.user))


def remove_factors(*, user: Any, reason: str = "") -> int:
    """Delete the second factors of an account whose owner has lost them. Return how many there were."""
    with all_tenants():
        number, _ = Authenticator.objects.filter(user_id=user.pk).delete()
        if number:
            after = {"name": user.get_username(), "factors": number}
            record_audit(action="second_factor.removed", target=user, after=after, reason=reason)
    return int(number)


def record_factor_added(sender: Any, instance: Authenticator, *, created: bool, **kwargs: Any) -> None:
    """Write the audit entry of a new second factor, or of new recovery codes (receiver of `post_save`)."""
    if created:
        after = {"name": instance.user.get_username(), "type": instance.type}
        with all_tenants():
            record_audit(action="second_factor.added", target=instance.user, after=after)


def record_factor_removed(sender: Any, user: Any, authenticator: Authenticator, **kwargs: Any) -> None:
    """Write the audit entry of a removed second factor (receiver of `authenticator_removed`)."""
    after = {"name": user.get_username(), "type": authenticator.type}
    with all_tenants():
        record_audit(action="second_factor.removed", target=user, after=after)
