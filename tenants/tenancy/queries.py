"""Queries for tenants: by slug, before a scope is set, and page by page over all tenants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from tenants.context import all_tenants
from tenants.exceptions import TenantNotFoundError
from tenants.models import PlanLimit, Tenant


def find_tenant(slug: str) -> Tenant:
    """Return the tenant with that slug, with its plan; raise `TenantNotFoundError` if there is none."""
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").filter(slug=slug).first()
    if tenant is None:
        raise TenantNotFoundError("There is no tenant %(slug)r.", {"slug": slug})
    return tenant


def plan_limit(tenant: Tenant, key: str) -> int | None:
    """Return the value that the tenant's plan sets for a plug-in's limit; None if it sets none."""
    return PlanLimit.objects.filter(plan_id=tenant.plan_id, key=key).values_list("value", flat=True).first()


# Few enough that the rows of a page are summed within a statement's timeout, many enough that pages are few.
TENANTS_PER_PAGE = 200
BEFORE_ALL, BEHIND_ALL = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class TenantPage:
    """A range of tenant ids, after ``after`` up to and including ``until``. It covers the ids of deleted tenants too.

    ``tenants`` is the number of existing tenants in it.
    """

    after: UUID
    until: UUID
    tenants: int

    @property
    def is_last(self) -> bool:
        """Return whether this is the last page."""
        return self.until == BEHIND_ALL

    def parameters(self) -> dict[str, UUID]:
        """Return the parameters of the SQL fragment ``in_page``, which selects the rows of this page."""
        return {"after": self.after, "until": self.until}


def read_page(*, after: UUID = BEFORE_ALL) -> TenantPage:
    """Return the page of up to TENANTS_PER_PAGE tenants whose ids follow ``after``."""
    with all_tenants():
        ids = Tenant.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
        found = list(ids[:TENANTS_PER_PAGE])
    is_last = len(found) < TENANTS_PER_PAGE
    return TenantPage(after, BEHIND_ALL if is_last else found[-1], len(found))


def read_pages() -> Iterator[TenantPage]:
    """Yield pages that together cover all tenants, in the order of ids."""
    page = read_page()
    yield page
    while not page.is_last:
        page = read_page(after=page.until)
        yield page
