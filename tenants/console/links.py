"""Links to console pages."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


def console_link(url: str, text: str) -> SafeString:
    """Return a link as HTML."""
    return format_html('<a class="console-link" href="{}">{}</a>', url, text)


def tenant_link(key: str | UUID, name: str = "") -> SafeString:
    """Return a link to the page of the tenant with this slug or id; it shows the name, or the slug."""
    return console_link(reverse("admin:tenants_tenant_change", args=[key]), name or str(key))


def invitation_path(token: str) -> str:
    """Return the path of the page on which an invitation is accepted.

    The token is in the query string, because logs contain paths without queries.
    """
    return f"{reverse('admin:invitation')}?{urlencode({'token': token})}"


def invitation_link(request: HttpRequest, token: str) -> str:
    """Return the URL of the page on which an invitation is accepted, on the host of the request."""
    return request.build_absolute_uri(invitation_path(token))
