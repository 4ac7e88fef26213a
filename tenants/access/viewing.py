"""The view of a tenant: a platform member sees the console as the tenant's owner does, for a time and read-only.

When a view begins or ends, the CSRF token changes: a form from before, still open in another tab, would now act on
other rows than it shows, and is refused.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.urls import reverse

from tenants.access.caller import access_of
from tenants.audit.service import record_audit
from tenants.context import Actor, acting_as, all_tenants
from tenants.exceptions import TenantNotFoundError
from tenants.identity.factors import has_fresh_factor
from tenants.models import Tenant
from tenants.tenancy.pausing import require_reason
from tenants.tenancy.queries import find_tenant

VIEW_SECONDS: Final = 30 * 60
# In the session: the tenant's slug, and when the view began.
SESSION_VIEW: Final = "viewed_tenant"
_OPEN_VIEWS: Final = ("admin:tenants_tenant_leave", "admin:logout")


def start_view(request: HttpRequest, tenant: Tenant, reason: str) -> None:
    """Let the session see the tenant's view for VIEW_SECONDS; raise `ReasonRequiredError` without a reason."""
    kept = require_reason(reason)
    rotate_token(request)
    request.session[SESSION_VIEW] = {"slug": tenant.slug, "began_at": time.time()}
    with all_tenants():
        record_audit(action="tenant.view_started", target=tenant, after={"seconds": VIEW_SECONDS}, reason=kept)


def end_view(request: HttpRequest, reason: str = "") -> None:
    """End the view of the session."""
    rotate_token(request)
    view = request.session.pop(SESSION_VIEW, None)
    user = request.user
    actor = Actor("user", str(user.pk), user.get_username(), getattr(request, "request_id", ""))
    with all_tenants(), acting_as(actor):
        if view and (tenant := Tenant.objects.filter(slug=view["slug"]).first()) is not None:
            seen = {"seconds": round(time.time() - view["began_at"])}
            record_audit(action="tenant.view_ended", target=tenant, after=seen, reason=reason)


def find_viewed(request: HttpRequest) -> Tenant | None:
    """Return the tenant whose view the session sees, or None. The view ends with its time and with its tenant."""
    view = request.session.get(SESSION_VIEW)
    if view is None:
        return None
    with suppress(TenantNotFoundError):
        if view["began_at"] + VIEW_SECONDS > time.time():
            return find_tenant(str(view["slug"]))
    end_view(request, "Its time or its tenant is over.")
    request.has_view_ended = True  # type: ignore[attr-defined] # for `require_changeable`
    return None


def require_changeable(request: HttpRequest) -> None:
    """Raise PermissionDenied for a change in a tenant's view, unless a second factor was given since it began.

    A change that was sent from a view which has ended meanwhile would be one of the whole platform.
    """
    if getattr(request, "has_view_ended", False):
        raise PermissionDenied
    if not access_of(request).is_viewing or request.path_info in map(reverse, _OPEN_VIEWS):
        return
    if not has_fresh_factor(request, after=request.session[SESSION_VIEW]["began_at"]):
        raise PermissionDenied
