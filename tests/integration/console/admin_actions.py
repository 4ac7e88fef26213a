"""Helpers for tests of acts in the console: the address of an act, and its audit entries."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tenants.context import all_tenants
from tenants.models import AuditLogEntry

Console = Callable[[User], Client]


def act_url(model: str, key: object, name: str) -> str:
    return reverse(f"admin:scheduling_{model}_act", args=[key, name])


def entries_of(action: str) -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action=action))
