"""Parts of a tenant's page: its members, API keys, secrets and plan history, each a short list with a link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _

from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.models import ApiKey, AuditLogEntry, Invitation, LegalHold, Membership, Plan, Tenant, TenantSecret

# Lines of a part; its link leads to all of them.
SHOWN = 8
# Changes of the tenant that are searched for changes of its plan.
_CHANGES_READ = 100
_PLAN_ACTIONS = ("tenant.created", "tenant.updated")


class PartLine(NamedTuple):
    """One line of a part; an empty ``url``: it has no page."""

    text: str
    url: str
    note: str


@dataclass(frozen=True, slots=True)
class PagePart:
    """A titled list on a tenant's page, which links to the console's list of its rows; ``empty`` replaces no lines."""

    name: str
    title: str
    url: str
    lines: list[PartLine]
    empty: str


def tenant_parts(tenant: Tenant, access: Access) -> Iterator[PagePart]:
    """Yield the parts that the viewer may see; each reads at most a page of rows."""
    if access.may(Permission.PLATFORM_VIEW):
        holds = newest(LegalHold.objects.filter(tenant=tenant, released_at=None))
        lines = [PartLine(row.reason, _page("tenants_legalhold", row), row.placed_by) for row in holds]
        yield PagePart("holds", _("Legal holds"), list_url("tenants_legalhold", tenant), lines, _("No legal holds."))
    if access.may(Permission.MEMBERS_VIEW):
        yield PagePart(
            "members",
            _("Members"),
            list_url("tenants_membership", tenant),
            [*_members(tenant), *_invitations(tenant)][:SHOWN],
            _("No members yet. Invite an owner."),
        )
    if access.may(Permission.API_KEYS_VIEW):
        keys = ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), tenant=tenant, revoked_at=None)
        lines = [PartLine(key.name, _page("tenants_apikey", key), ", ".join(key.scopes)) for key in newest(keys)]
        url, empty = list_url("tenants_apikey", tenant), _("No valid API keys. Programs cannot call the API.")
        yield PagePart("keys", _("API keys"), url, lines, empty)
    if access.may(Permission.SECRETS_USE):
        rows = newest(TenantSecret.objects.filter(tenant=tenant))
        lines = [PartLine(row.name, _page("tenants_tenantsecret", row), ", ".join(row.hosts)) for row in rows]
        url = list_url("tenants_tenantsecret", tenant)
        yield PagePart("secrets", _("Secrets"), url, lines, _("No stored secrets."))
    if access.may(Permission.AUDIT_VIEW):
        url = f"{reverse('admin:tenants_auditlogentry_changelist')}?target={tenant.pk}"
        yield PagePart("plans", _("Plan history"), url, _plan_changes(tenant), _("The plan has never changed."))


def list_url(model: str, tenant: Tenant) -> str:
    """Return the URL of a console list, filtered by the tenant; ``model`` is an app's label and a model's name."""
    return f"{reverse(f'admin:{model}_changelist')}?tenant__id__exact={tenant.pk}"


def newest(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the newest rows of a queryset, as many as a part shows."""
    return rows.order_by("-pk")[:SHOWN]


def _members(tenant: Tenant) -> Iterator[PartLine]:
    rows = Membership.objects.select_related("user").filter(tenant=tenant).order_by("user__username")
    for row in rows[:SHOWN]:
        yield PartLine(row.user.get_username(), _page("tenants_membership", row), row.get_role_display())


def _invitations(tenant: Tenant) -> Iterator[PartLine]:
    pending = Invitation.objects.filter(tenant=tenant, accepted_at=None, revoked_at=None, expires_at__gt=Now())
    for row in newest(pending):
        note = _("%(role)s, invited") % {"role": row.get_role_display()}
        yield PartLine(row.invitee, _page("tenants_invitation", row), note)


def _plan_changes(tenant: Tenant) -> list[PartLine]:
    entries = AuditLogEntry.objects.filter(
        tenant=tenant, target_type="tenants.tenant", target_id=str(tenant.pk), action__in=_PLAN_ACTIONS
    ).order_by("-pk")[:_CHANGES_READ]
    found = [(entry, str((entry.after or {}).get("plan", ""))) for entry in entries]
    # A creation names the plan by its slug, a change by its id.
    names = {key: plan.name for plan in Plan.objects.only("slug", "name") for key in (str(plan.pk), plan.slug)}
    return [
        PartLine(
            names.get(plan, plan),
            _page("tenants_auditlogentry", entry),
            f"{entry.at:%Y-%m-%d %H:%M}, {entry.actor_label}{f': {entry.reason}' if entry.reason else ''}",
        )
        for entry, plan in [line for line in found if line[1]][:SHOWN]
    ]


def _page(model: str, row: Any) -> str:
    return reverse(f"admin:{model}_change", args=[row.pk])
