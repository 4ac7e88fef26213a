"""Read access to stored secrets. They are decrypted for one outgoing request, never for display."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now

from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.models import TenantSecret
from tenants.secrets.errors import SecretHostRefusedError, SecretNotFoundError, SecretUnknownError

# Storing every use would make a busy secret a hot row.
_TOUCH_INTERVAL = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class OpenSecret:
    """A decrypted secret, for requests to its hosts; its `repr` does not show the value."""

    name: str
    hosts: tuple[str, ...]
    value: str = field(repr=False)

    def value_for(self, host: str) -> str:
        """Return the value for a request to the host.

        Raise `SecretHostRefusedError` unless the secret is bound to it.
        """
        refuse_other_host(self.name, self.hosts, host)
        return self.value


def get_secret(secret_id: UUID, *, is_locked: bool = False) -> TenantSecret:
    """Return a secret of the current scope, still encrypted; with `is_locked` lock its row.

    Raise `SecretNotFoundError` if there is none, also for another tenant's secret.
    """
    rows = TenantSecret.objects.select_for_update(no_key=True) if is_locked else TenantSecret.objects.all()
    return first_or_raise(rows.filter(pk=secret_id), SecretNotFoundError)


def open_secrets(tenant_id: UUID, names: Iterable[str], host: str) -> Mapping[str, OpenSecret]:
    """Return the named secrets of a tenant, decrypted, for a request to the host. Update their times of last use.

    Raise `SecretUnknownError` or `SecretHostRefusedError` before anything is decrypted, or any error of the decryption.
    """
    wanted = sorted(set(names))
    with tenant_context(tenant_id):
        rows = {row.name: row for row in TenantSecret.objects.filter(name__in=wanted)}
        for name in wanted:
            if name not in rows:
                raise SecretUnknownError("There is no secret %(name)r.", {"name": name})
            refuse_other_host(name, rows[name].hosts, host)
        found = {name: OpenSecret(name, tuple(row.hosts), str(row.sealed)) for name, row in rows.items()}
        due = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _TOUCH_INTERVAL)
        TenantSecret.objects.filter(due, pk__in=[row.pk for row in rows.values()]).update(last_used_at=Now())
    return found


def refuse_other_host(name: str, hosts: Sequence[str], host: str) -> None:
    """Raise `SecretHostRefusedError` unless the secret is bound to the host."""
    if not any(_is_bound(bound, host.lower()) for bound in hosts):
        raise SecretHostRefusedError(
            "The secret %(name)r is bound to %(hosts)s and is not sent to %(host)s: store it again for this host.",
            {"name": name, "hosts": ", ".join(hosts), "host": host},
        )


def _is_bound(bound: str, host: str) -> bool:
    """Return whether a host is the bound one, or a subdomain if it is written as `*.example.com`."""
    return host.endswith(bound[1:]) and len(host) > len(bound) - 1 if bound.startswith("*.") else host == bound
