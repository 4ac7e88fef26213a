"""Links into the console for people."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse


def invitation_link(request: HttpRequest, token: str) -> str:
    """Return the URL of the page that accepts an invitation, on the host of the request.

    The token is in the query: logs contain paths without queries.
    """
    return request.build_absolute_uri(f"{reverse('admin:invitation')}?{urlencode({'token': token})}")
