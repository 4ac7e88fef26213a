"""A model server on loopback, and clients of the owners of two tenants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tests.integration.api.conftest import session_of
from tests.model_server import ModelServer, model_server
from tests.platform_settings import ChangePlatformSettings


@pytest.fixture
def server(change_platform_settings: ChangePlatformSettings) -> Iterator[ModelServer]:
    """Return a model server that tenants may call; the platform has no endpoint."""
    with model_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[running.host], LLM_API_URL="", LLM_MODEL="")
        yield running


@pytest.fixture
def acme_api(acme_user: User) -> APIClient:
    """Return a client of an owner of acme: no key may manage endpoints."""
    return session_of(acme_user)


@pytest.fixture
def globex_api(globex_user: User) -> APIClient:
    """Return a client of an owner of another tenant."""
    return session_of(globex_user)
