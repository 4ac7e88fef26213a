"""Second factors: which accounts must have one, and which acts need a fresh one."""

from __future__ import annotations

import time
from typing import Any, Final

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.http import HttpRequest

from tenants.access.caller import Access
from tenants.access.permissions import NOTHING, TENANT_ROLES, Permission
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
    """Return whether the role, or the plan of a member's tenant, requires a second factor that the account lacks."""
    listed = platform_settings.SECOND_FACTOR_ROLES
    is_required = (access.platform_role or access.role) in listed
    if access.custom is not None and not is_required:
        # Otherwise a role of the tenant's own with an owner's rights would need none.
        exempt = [rights for name, rights in TENANT_ROLES.items() if name not in listed]
        is_required = len(exempt) < len(TENANT_ROLES) and not any(access.granted <= rights for rights in exempt)
    if access.platform_role is None and access.tenant is not None:
        is_required = is_required or access.tenant.plan.needs_second_factor
    return is_required and not is_mfa_enabled(user)


def withheld_permissions(request: HttpRequest, access: Access) -> frozenset[Permission]:
    """Return the permissions that a session of the API lacks until a fresh second factor; the console asks for one."""
    held = access.granted & STEP_UP
    return held if held and is_stale(request) else NOTHING


def has_fresh_factor(request: HttpRequest, *, after: float = 0.0) -> bool:
    """Return whether the session has given a second factor within STEP_UP_SECONDS, and after that time (epoch)."""
    since = max(after, time.time() - platform_settings.STEP_UP_SECONDS)
    given = get_authentication_records(request, request.user)
    return any(record["method"] == "mfa" and record["at"] >= since for record in given)


def is_stale(request: HttpRequest) -> bool:
    """Return whether the account has a second factor that this session has not given for STEP_UP_SECONDS."""
    return not has_fresh_factor(request) and bool(is_mfa_enabled(request.user))


def count_factors(user: Any) -> int:
    """Return how many second factors an account has; its recovery codes count as one."""
    return int(Authenticator.objects.filter(user_id=user.pk).count())


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
