"""Links into the console that are given to people."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse


def invitation_link(request: HttpRequest, token: str) -> str:
    """Return the page that accepts an invitation, on the host of the request; logs hold paths and no queries."""
    return request.build_absolute_uri(f"{reverse('admin:invitation')}?{urlencode({'token': token})}")
