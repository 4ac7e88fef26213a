"""Steps of people with second factors in a test client."""

from __future__ import annotations

import time
from typing import Any

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY as RECORDS
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client

from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tests.conftest import PASSWORD
from tests.integration.tenants.identity.conftest import LOGIN

PAGES = "/admin/sign-in/second-factor/"
AUTHENTICATE, REAUTHENTICATE = f"{PAGES}authenticate/", f"{PAGES}reauthenticate/"


def code_of(secret: str, steps: int = 0) -> str:
    """Return the code of now, or of so many steps of 30 seconds later: each is accepted once."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def log_in(client: Client, name: str = "alice") -> Any:
    return client.post(LOGIN, {"username": name, "password": PASSWORD})


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def make_stale(client: Client) -> None:
    """Let the session's second factor be older than STEP_UP_SECONDS."""
    session = client.session
    session[RECORDS] = [{**record, "at": record["at"] - 301} for record in session.get(RECORDS, [])]
    session.save()


def actions() -> list[str]:
    with all_tenants():
        return list(AuditLogEntry.objects.values_list("action", flat=True))
