"""Revocation in one process applies to the next request in every other process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tenants.access.people import grant_platform_role
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/"


def run_elsewhere(urls: dict[str, str], *arguments: str) -> None:
    """Run a command in a process of its own, on the same database."""
    environment = {**os.environ, **urls}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_key_revoked_by_another_process_is_refused(acme: Any, database_urls: dict[str, str]) -> None:
    issued = issue_api_key(tenant=acme, name="leaked")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {issued.token}")
    assert client.get(f"{API}jobs/").status_code == 200
    run_elsewhere(database_urls, "revoke_api_key", issued.key.prefix, "--reason", "leaked")
    assert client.get(f"{API}jobs/").status_code == 401


def test_role_revoked_by_another_process_is_refused(staff: User, outsider: User, database_urls: dict[str, str]) -> None:
    grant_platform_role(user=outsider, role="operator")
    client = APIClient()
    client.force_login(outsider)
    assert client.get(f"{API}queues/").status_code == 200
    run_elsewhere(database_urls, "grant_platform_role", "oscar", "none")
    assert client.get(f"{API}queues/").status_code == 403
