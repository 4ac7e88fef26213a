"""Queries for tenants: by slug before a context is entered, and page by page over all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from tenants.context import all_tenants
from tenants.exceptions import TenantNotFoundError
from tenants.models import PlanLimit, Tenant


def find_tenant(slug: str) -> Tenant:
    """Return the tenant with that slug and its plan, else raise `TenantNotFoundError`."""
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").filter(slug=slug).first()
    if tenant is None:
        raise TenantNotFoundError("There is no tenant %(slug)r.", {"slug": slug})
    return tenant


def plan_limit(tenant: Tenant, key: str) -> int | None:
    """Return the plan's value of a plug-in's limit `key`; None if the plan sets none."""
    return PlanLimit.objects.filter(plan_id=tenant.plan_id, key=key).values_list("value", flat=True).first()


# Few enough that the rows of a page are summed within a statement's timeout, many enough that pages are few.
TENANTS_PER_PAGE = 200
BEFORE_ALL, BEHIND_ALL = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class TenantPage:
    """All ids after ``after`` up to ``until``, including those of deleted tenants."""

    after: UUID
    until: UUID
    tenants: int

    @property
    def is_last(self) -> bool:
        """Return whether this is the last page."""
        return self.until == BEHIND_ALL

    def parameters(self) -> dict[str, UUID]:
        """Return the parameters of the fragment ``in_page``."""
        return {"after": self.after, "until": self.until}


def read_page(*, after: UUID = BEFORE_ALL) -> TenantPage:
    """Return the page of tenants after ``after``."""
    with all_tenants():
        ids = Tenant.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
        found = list(ids[:TENANTS_PER_PAGE])
    is_last = len(found) < TENANTS_PER_PAGE
    return TenantPage(after, BEHIND_ALL if is_last else found[-1], len(found))


def read_pages() -> Iterator[TenantPage]:
    """Yield all pages in order."""
    page = read_page()
    yield page
    while not page.is_last:
        page = read_page(after=page.until)
        yield page
