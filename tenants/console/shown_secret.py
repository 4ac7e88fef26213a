"""The page that shows a new secret once."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext

from tenants.console.site import console_site


def show_secret(request: HttpRequest, *, name: str, secret: str, text: str, url: str) -> HttpResponse:
    """Return the page with the secret of a row.

    Neither a message nor a redirect shows it: both would carry the secret through a cookie or a URL.
    """
    context = {
        **console_site.each_context(request),
        "title": gettext("The secret of %(name)s") % {"name": name},
        "secret": secret,
        "text": text,
        "url": url,
    }
    response = TemplateResponse(request, "tenants/admin/secret_shown.html", context)
    add_never_cache_headers(response)
    return response
