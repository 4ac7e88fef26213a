"""Finding tenants before it is known whose context to enter; through the door."""

from __future__ import annotations

from tenants.context import all_tenants
from tenants.exceptions import TenantNotFoundError
from tenants.models import PlanLimit, Tenant


def find_tenant(slug: str) -> Tenant:
    """The tenant of that slug with its plan, else `TenantNotFoundError`."""
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").filter(slug=slug).first()
    if tenant is None:
        raise TenantNotFoundError("There is no tenant %(slug)r.", {"slug": slug})
    return tenant


def plan_limit(tenant: Tenant, key: str) -> int | None:
    """The limit that a plug-in declared under `key` in the tenant's plan; None if the plan sets none."""
    return PlanLimit.objects.filter(plan_id=tenant.plan_id, key=key).values_list("value", flat=True).first()
