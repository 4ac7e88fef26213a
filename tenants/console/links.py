"""Links to console pages, for use in messages to people."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse


def invitation_path(token: str) -> str:
    """Return the path of the page on which an invitation is accepted.

    The token is in the query string, because logs contain paths without queries.
    """
    return f"{reverse('admin:invitation')}?{urlencode({'token': token})}"


def invitation_link(request: HttpRequest, token: str) -> str:
    """Return the URL of the page on which an invitation is accepted, on the host of the request."""
    return request.build_absolute_uri(invitation_path(token))
