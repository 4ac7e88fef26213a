"""Warnings before API keys expire: one audit entry for each key, and a message to the people who can rotate it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.utils.translation import gettext

from tenants.access.api_keys import scope_of
from tenants.access.key_queries import ending_keys
from tenants.access.mail_addresses import addresses_of_roles
from tenants.access.permissions import PlatformRole
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.models import ApiKey, Role

# Owners that are mailed; the console warns all of them.
MAX_OWNERS: Final = 5


@dataclass(frozen=True, slots=True)
class KeyWarning:
    """A warning to be sent to addresses."""

    tenant_id: UUID | None
    addresses: Sequence[str]
    subject: str
    text: str


def warn_of_next_ending_key(send: Callable[[KeyWarning], object]) -> bool:
    """Warn of the key that expires next and has had no warning yet. Return False if there is none.

    `send` is called in the transaction that marks the key, so that each key is warned of once.
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
        send(_warning_of(key))
    return True


def _warning_of(key: ApiKey) -> KeyWarning:
    assert key.expires_at is not None
    role = PlatformRole.ADMIN if key.tenant_id is None else Role.OWNER
    addresses = addresses_of_roles(key.tenant_id, [role], most=MAX_OWNERS, user_id=key.created_by_id)
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
    return KeyWarning(key.tenant_id, addresses, subject, text)
