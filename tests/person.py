"""API clients with a session, for endpoints that need a person's login."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework.test import APIClient


def client_of(user: User) -> APIClient:
    """Return an API client with the user's session."""
    client = APIClient()
    client.force_login(user)
    return client
