"""Roles that claims give: memberships are made, changed and removed at each sign-in, and rules checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest

from tenants.access.addresses import client_address
from tenants.access.memberships import add_member, change_role, remove_member
from tenants.access.people import grant_platform_role, revoke_platform_role
from tenants.access.permissions import PlatformRole
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import Actor, acting_as, all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import FieldInvalidError
from tenants.identity.rules import OF_EVERYBODY, claims_of, roles_of
from tenants.models import ClaimRule, Membership, PlatformMembership, Role, TenantRole
from tenants.translation import translate

_ROOTS = ("userinfo", "id_token")


def gives_role(data: Mapping[str, Any]) -> bool:
    """Return whether a rule gives an account with these answers of the provider a role."""
    with all_tenants():
        return bool(roles_of(claims_of(data), ClaimRule.objects.all()))


def apply_claims(*, user: Any, data: Mapping[str, Any], request_id: str = "") -> bool:
    """Give an account the roles of its claims, and take those that earlier claims gave. Return whether it has any role.

    Roles given by hand stay. Raise `LastAdminError` if the platform would have no admin left.
    """
    actor = Actor(kind="system", id="claims", label=f"claims from {platform_settings.OIDC_NAME}", request_id=request_id)
    with all_tenants(), acting_as(actor):
        rules = ClaimRule.objects.select_related("tenant")
        given = roles_of(claims_of(data), rules)
        _apply_in_tenants(user, given, {rule.tenant_id: rule.tenant for rule in rules})
        _apply_in_platform(user, given.get(None))
        has_role = PlatformMembership.objects.filter(user_id=user.pk).exists() or user.is_superuser
        return bool(has_role or Membership.objects.filter(user_id=user.pk).exists())


def _apply_in_tenants(user: Any, given: Mapping[Any, str], tenants: Mapping[Any, Any]) -> None:
    held = {row.tenant_id: row for row in Membership.objects.select_related("user").filter(user_id=user.pk)}
    for tenant_id, role in given.items():
        if tenant_id is not None and tenant_id not in held:
            add_member(tenant=tenants[tenant_id], user=user, role=role, is_by_claims=True)
    for tenant_id, row in held.items():
        if not row.is_by_claims:
            continue
        if tenant_id in given:
            change_role(membership=row, role=given[tenant_id], keeps_owner=False)
        else:
            remove_member(membership=row, keeps_owner=False)


def _apply_in_platform(user: Any, role: str | None) -> None:
    held = PlatformMembership.objects.filter(user_id=user.pk).first()
    if (held is not None and not held.is_by_claims) or user.is_superuser:
        return
    if role is None:
        if held is not None:
            revoke_platform_role(user=user)
    elif held is None or held.role != role:
        grant_platform_role(user=user, role=role, is_by_claims=True)


def record_refused_sign_in(request: HttpRequest, *, user: Any, subject: str, reason: str) -> None:
    """Write the audit entry of a sign-in that the provider confirmed and the platform refused."""
    name = None if user is None or user.pk is None else user.get_username()
    target = AuditTarget(settings.AUTH_USER_MODEL.lower(), "" if name is None else str(user.pk))
    actor = Actor(kind="system", label="anonymous request", request_id=getattr(request, "request_id", ""))
    after = {
        "account": name,
        "address": client_address(request),
        "provider": platform_settings.OIDC_NAME,
        "subject": subject,
    }
    with all_tenants(), acting_as(actor):
        record_audit(action="session.refused", target=target, after=after, reason=reason)


def check_claim_rule(rule: ClaimRule) -> None:
    """Raise `FieldInvalidError` for a rule that would reach all accounts or, unless confirmed, none."""
    rule.claim, rule.value = rule.claim.strip(), rule.value.strip()
    roles = [role.value for role in (PlatformRole if rule.tenant_id is None else Role)]
    own = TenantRole.objects.select_for_update(no_key=True).filter(tenant=rule.tenant_id, name=rule.role)
    faults = (
        (not rule.claim, "claim", translate("Name the claim.")),
        (rule.claim in OF_EVERYBODY, "claim", translate("Every account has the same value of this claim.")),
        (
            rule.value in ("", "*"),
            "value",
            translate("Give one value: an empty one, or *, would give everybody the role."),
        ),
        (
            rule.role not in [*roles, *(row.name for row in own)],
            "role",
            translate("Use one of %(roles)s here.", {"roles": ", ".join(roles)}),
        ),
    )
    for is_fault, field, text in faults:
        if is_fault:
            raise FieldInvalidError.at(field, text)
    if not rule.is_confirmed:
        _warn_of_reach(rule)


def _warn_of_reach(rule: ClaimRule) -> None:
    known, reached = SocialAccount.objects.count(), SocialAccount.objects.filter(_has_claim(rule)).count()
    numbers = {"known": known, "reached": reached}
    if known and not reached:
        text = translate(
            "None of the %(known)s known accounts had this value at its last sign-in. Correct it, or confirm the rule.",
            numbers,
        )
    elif known > 1 and known == reached:
        text = translate(
            "Each of the %(known)s known accounts has this value. Correct it, or confirm the rule.", numbers
        )
    else:
        return
    raise FieldInvalidError.at("is_confirmed", text)


def _has_claim(rule: ClaimRule) -> Q:
    """Return the condition that an account's last claims have the value, as `values_of` reads them."""
    found = Q()
    for value in (rule.value, [rule.value]):
        within: Any = value
        for part in reversed(rule.claim.split(".")):
            within = {part: within}
        for root in _ROOTS:
            found |= Q(extra_data__contains={root: {rule.claim: value}}) | Q(extra_data__contains={root: within})
    return found
