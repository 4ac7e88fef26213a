"""Error pages 403 and 404 of the console, which say what happened and link to other pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.defaults import page_not_found, permission_denied

from jobsplatform.console.site import READING
from tenants.access.caller import access_of
from tenants.console.site import console_site
from tenants.url_prefixes import CONSOLE_PREFIX


def forbidden_page(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return a 403 response; in the console, a page in the console's layout."""
    if not _is_in_console(request):
        return permission_denied(request, exception)
    if getattr(request, "has_view_ended", False):
        return _page(request, "view_ended", gettext("The view of the tenant has ended"), 403)
    if access_of(request).is_viewing and request.method not in READING:
        return _page(request, "viewing", gettext("This view of a tenant is read-only"), 403)
    return _page(request, "refused", gettext("You have no permission to view this page"), 403)


def not_found_page(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return a 404 response; in the console, a page in its layout, which does not reveal whether the object exists."""
    if not _is_in_console(request):
        return page_not_found(request, exception)
    return _page(request, "missing", gettext("Page not found"), 404)


def _is_in_console(request: HttpRequest) -> bool:
    # A request refused before authentication has no user to render the layout for.
    has_user = getattr(request, "user", None) is not None
    return request.path_info.startswith(CONSOLE_PREFIX) and has_user and console_site.has_permission(request)


def _page(request: HttpRequest, what: str, title: str, status: int) -> HttpResponse:
    context = {**console_site.each_context(request), "title": title, "what": what}
    return render(request, "admin/refusal.html", context, status=status)
