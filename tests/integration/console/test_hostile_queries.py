"""Hostile query strings on every page of the console: columns, lookups, NULs, out-of-range numbers and dates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Field, Model
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db

LOOKUPS = ("__in", "__gt", "__isnull", "__contains", "__regex", "__year", "__date", "__x", "__x__y")
VALUES = ("1", "9" * 40, "-1", "a\x00b", "99999-99-99", "(", "", "\ud83d", "00000000-0000-0000-0000-000000000000")
OWN = ("q", "p", "o", "all", "_popup", "_to_field", "cursor", "since", "tenant", "kind", "unknown_field")
MODELS = list(admin.site._registry)


def queries_of(model: type[Model], start: int) -> Iterator[str]:
    """Return every column and relation with one value and one lookup; over all lists each pair occurs."""
    fields: list[Any] = model._meta.get_fields()
    names = [field.name for field in fields] + [field.attname for field in fields if isinstance(field, Field)]
    for number, name in enumerate(dict.fromkeys(names), start):
        yield _query(name, VALUES[number % len(VALUES)])
        yield _query(f"{name}{LOOKUPS[number % len(LOOKUPS)]}", VALUES[(number // 2) % len(VALUES)])


def common_queries(start: int) -> Iterator[str]:
    for number, name in enumerate(OWN, start):
        yield _query(name, VALUES[number % len(VALUES)])
    yield from ("q=" + "a" * 5_000, "%00=1&q=%00", "o=1.2.-3.999&o=x", "a__b__c__d=1&__=2&=3", "q=%FF%FE&%C3%28=1")


def _query(name: str, value: str) -> str:
    return f"{name}={quote(value, errors='surrogatepass')}"


@pytest.fixture
def staff_client(staff: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(staff)
    return client


@pytest.mark.parametrize("model", MODELS, ids=[model._meta.label_lower for model in MODELS])
def test_hostile_query_breaks_no_list(model: type[Model], staff_client: Client) -> None:
    start = MODELS.index(model)
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    failed = [
        query
        for query in [*queries_of(model, start), *common_queries(start)]
        if staff_client.get(f"{page}?{query}").status_code >= 500
    ]
    assert failed == []


@pytest.mark.parametrize("value", VALUES)
def test_payload_hash_query_breaks_no_list(staff_client: Client, value: str) -> None:
    page = reverse("admin:scheduling_job_changelist")
    assert staff_client.get(f"{page}?{_query('payload_hash', value)}").status_code < 500
