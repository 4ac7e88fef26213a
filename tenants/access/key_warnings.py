"""Warnings before API keys expire: one audit entry for each key, and mail to the people who can rotate it."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from tenants.access.api_keys import scope_of
from tenants.access.key_queries import ending_keys
from tenants.access.permissions import PlatformRole
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.mail import deliver_mail
from tenants.models import ApiKey, Membership, PlatformMembership, Role

# Owners that are mailed; the console warns all of them.
MAX_OWNERS: Final = 5


def warn_of_next_ending_key() -> bool:
    """Warn of the key that expires next and has had no warning yet. Return False if there is none.

    The warning is committed before the mail is sent, so that no key is warned of twice. A failed mail is only logged.
    """
    with all_tenants():
        # A row locked by another process is left to the next run.
        unwarned = ending_keys(read_clock()).filter(warned_at=None)
        key = unwarned.select_related("tenant").select_for_update(no_key=True, of=("self",), skip_locked=True).first()
        if key is None:
            return False
        with scope_of(key.tenant_id):
            ApiKey.objects.filter(pk=key.pk).update(warned_at=read_clock())
            after = {"name": key.name, "prefix": key.prefix, "expires_at": key.expires_at}
            record_audit(action="api_key.expiring", target=key, after=after)
            addresses = _addresses_of(key)
    _mail(key, addresses)
    return True


def _addresses_of(key: ApiKey) -> list[str]:
    """Return the addresses of the issuer and of the first owners or platform admins, of active accounts only."""
    owning: QuerySet[Any] = Membership.objects.filter(role=Role.OWNER)
    if key.tenant_id is None:
        owning = PlatformMembership.objects.filter(role=PlatformRole.ADMIN)
    owners = owning.order_by("pk").values_list("user_id", flat=True)[:MAX_OWNERS]
    wanted = Q(pk=key.created_by_id) | Q(pk__in=list(owners))
    people = get_user_model()._default_manager.filter(wanted, is_active=True).exclude(email="").order_by("pk")
    return list(dict.fromkeys(people.values_list("email", flat=True)))


def _mail(key: ApiKey, addresses: list[str]) -> None:
    assert key.expires_at is not None
    values = {
        "name": str(key),
        "tenant": key.tenant.name if key.tenant else gettext("the platform"),
        "end": f"{key.expires_at:%Y-%m-%d %H:%M} UTC",
    }
    subject = gettext("API key %(name)s expires on %(end)s") % values
    text = (
        gettext(
            "The API key %(name)s of %(tenant)s expires on %(end)s. Requests with it are refused from then on. "
            "Rotate the key in the console before that, and configure the new one in its program."
        )
        % values
    )
    # One mail each: recipients do not see each other's addresses.
    for address in addresses:
        deliver_mail(recipients=[address], subject=subject, text=f"{text}\n")
