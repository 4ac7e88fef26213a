"""Provisioning of a customer: a tenant with its settings, an invited owner and a first API key, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac

from tenants.access.api_keys import issue_api_key
from tenants.access.invitations import invite
from tenants.access.permissions import Permission
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import all_tenants
from tenants.exceptions import SlugTakenError
from tenants.models import ApiKey, Invitation, Role, Tenant
from tenants.settings.service import change_settings
from tenants.tenancy.editions import digest_of
from tenants.tenancy.queries import find_tenant
from tenants.tenancy.service import create_tenant

FIRST_KEY = "first key"
# What a program needs that submits jobs and fetches their results.
FIRST_KEY_SCOPES = tuple(
    sorted((Permission.JOBS_SUBMIT, Permission.JOBS_VIEW, Permission.JOBS_CANCEL, Permission.JOBS_RESULTS))
)


@dataclass(frozen=True, slots=True)
class NewTenant:
    """Description of a tenant to provision; ``owner`` is the e-mail address of the person to invite.

    Without a name the slug is the name. ``settings`` are values by key, ``scopes`` those of the first API key.
    """

    slug: str
    plan: str
    owner: str
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    scopes: Sequence[str] = FIRST_KEY_SCOPES


@dataclass(frozen=True, slots=True)
class ProvisionedTenant:
    """A provisioned tenant, with its owner's invitation and its first API key, each None if it was deleted since.

    ``link`` and ``token`` are None if the tenant existed before. ``link`` is also None if it was mailed.
    """

    tenant: Tenant
    invitation: Invitation | None
    api_key: ApiKey | None
    link: str | None = None
    token: str | None = None
    is_new: bool = False


@transaction.atomic
def provision_tenant(*, wanted: NewTenant, link_of: Callable[[str], str]) -> ProvisionedTenant:
    """Create a tenant, invite its owner, and issue its first API key; `link_of(token)` returns an invitation's URL.

    If a call with equal data has created the tenant before, return it without link and token. Raise `SlugTakenError` if
    the tenant exists with other data, and the errors of `create_tenant`, `change_settings`, `invite` and
    `issue_api_key`; then nothing is stored. The concurrent call for one slug waits until the first has committed.
    """
    digest, *earlier = _sealed_digests(wanted)
    try:
        with suppress_nested_entries():
            tenant = create_tenant(slug=wanted.slug, plan=wanted.plan, name=wanted.name)
    except SlugTakenError:
        return _find_provisioned(wanted.slug, [digest, *earlier])
    with suppress_nested_entries():
        if wanted.settings:
            change_settings(tenant=tenant, values=wanted.settings, by_platform=True)
        issued = invite(tenant=tenant, invitee=wanted.owner, role=Role.OWNER, link_of=link_of)
        key = issue_api_key(tenant=tenant, name=FIRST_KEY, scopes=wanted.scopes)
    with all_tenants():
        Tenant.objects.filter(pk=tenant.pk).update(provision_digest=digest)
        tenant.provision_digest = digest
        facts: dict[str, Any] = {"slug": tenant.slug, "name": tenant.name, "plan": tenant.plan.slug}
        facts |= {"owner": wanted.owner, "settings": sorted(wanted.settings)}
        facts |= {"prefix": key.key.prefix, "scopes": key.key.scopes}
        record_audit(action="tenant.created", target=tenant, after=facts)
    return ProvisionedTenant(tenant, issued.invitation, key.key, issued.link, key.token, is_new=True)


def _sealed_digests(wanted: NewTenant) -> list[str]:
    """Return the digest of a request by each secret key, so that a secret among the settings cannot be guessed."""
    digest = digest_of(asdict(wanted) | {"name": wanted.name or wanted.slug, "scopes": sorted(wanted.scopes)})
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    sealed = (salted_hmac("tenants.provisioning", digest, secret=key, algorithm="sha256") for key in keys)
    return [one.hexdigest()[: len(digest)] for one in sealed]


def _find_provisioned(slug: str, digests: Sequence[str]) -> ProvisionedTenant:
    """Return the tenant as it was provisioned; raise `SlugTakenError` if it was created with other data."""
    tenant = find_tenant(slug)
    if tenant.provision_digest not in digests:
        raise SlugTakenError("A tenant with the slug %(slug)r exists with other data.", {"slug": slug})
    with all_tenants():
        invitations = Invitation.objects.select_related("tenant", "invited_by").filter(tenant=tenant)
        keys = ApiKey.objects.select_related("tenant", "created_by").filter(tenant=tenant)
        return ProvisionedTenant(tenant, invitations.order_by("pk").first(), keys.order_by("pk").first())
