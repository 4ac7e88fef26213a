"""What people see of the console where they may not look, or where there is nothing: why, and where to go on."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.defaults import page_not_found, permission_denied

from tenants.console.site import console_site
from tenants.url_prefixes import CONSOLE_PREFIX


def refuse_person(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: in the console's own frame, where it is the console that was asked."""
    if not _is_in_console(request):
        return permission_denied(request, exception)
    return _page(request, "refused", gettext("You may not see this"), 403)


def tell_missing(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: the same for what is not there, or not for this person; the page does not tell which."""
    if not _is_in_console(request):
        return page_not_found(request, exception)
    return _page(request, "missing", gettext("There is nothing here"), 404)


def _is_in_console(request: HttpRequest) -> bool:
    # What is refused before anybody was asked for has no frame to stand in.
    has_user = getattr(request, "user", None) is not None
    return request.path_info.startswith(CONSOLE_PREFIX) and has_user and console_site.has_permission(request)


def _page(request: HttpRequest, what: str, title: str, status: int) -> HttpResponse:
    context = {**console_site.each_context(request), "title": title, "what": what}
    return render(request, "admin/refusal.html", context, status=status)
