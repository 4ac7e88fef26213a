"""Routes that narrowed roles may use: those whose rows the managers narrow. All others refuse."""

from __future__ import annotations

from functools import cache

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from tenants.access.caller import access_of
from tenants.access.errors import RoleNarrowedError
from tenants.api.problems import problem_response
from tenants.url_prefixes import API_PREFIX


@cache
def narrowed_routes() -> frozenset[str]:
    """Return the names of these routes, which each AppConfig declares as `narrowed_routes`."""
    return frozenset(name for config in apps.get_app_configs() for name in getattr(config, "narrowed_routes", ()))


def refuse_narrowed(request: HttpRequest) -> HttpResponse | None:
    """Return None if the caller's role is not narrowed, or if the route may be used by such a role.

    Return a 403 response of the API with the code `role_narrowed`, and a redirect from the console's first page to a
    list that is narrowed; raise `PermissionDenied` for other pages of the console.
    """
    route = request.resolver_match
    if access_of(request).narrowing is None or route is None or route.view_name in narrowed_routes():
        return None
    if request.path_info.startswith(API_PREFIX):
        return problem_response(RoleNarrowedError())
    homes = (getattr(config, "narrowed_home", None) for config in apps.get_app_configs())
    if route.view_name == "admin:index" and (home := next(filter(None, homes), None)):
        return HttpResponseRedirect(reverse(home))
    raise PermissionDenied
