"""Log lines of the platform's own processes: stored by the level that is set, bounded, and found by staff only."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import ProgrammingError, transaction
from django.test import Client

from scheduling.log_search.platform_lines import MOST_WAITING, LineStore, PlatformFieldError, search_platform_lines
from scheduling.log_search.query import parse_query
from scheduling.models import PlatformLog
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.api.conftest import session_of
from tests.integration.api.test_access import API
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db


class Store(LineStore):
    """A store whose lines are stored by the test."""

    def _run(self) -> None:
        pass


@pytest.fixture
def store() -> Store:
    return Store("info")


def found(text: str) -> list[str]:
    with all_tenants():
        return [line.message for line in search_platform_lines(parse_query(text, is_sealed=False)).lines]


def test_lines_are_found_by_words_and_by_what_they_are_about(store: Store, acme: Tenant) -> None:
    store.keep({"event": "tick.slow", "level": "warning", "seconds": 3, "tenant_id": str(acme.pk), "logger": "x"})
    store.keep({"event": "connection lost", "level": "critical", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
    store.keep({"event": "quiet", "level": "debug"})
    assert store.store() == 2
    assert found("") == ["connection lost", "tick.slow"]
    assert found("connection -slow") == ["connection lost"]
    assert found('"connection lost"') == ["connection lost"]
    assert found("tenant:acme") == ["tick.slow"]
    assert found("trace:4bf92f3577b34da6a3ce929d0e0e4736 level:error") == ["connection lost"]
    assert found("request:none") == []
    with pytest.raises(PlatformFieldError):
        found("kind:noop")
    with all_tenants():
        fields = PlatformLog.objects.get(message="tick.slow").fields
    assert {"host", "pid", "process", "seconds"} <= fields.keys()
    assert "timestamp" not in fields


def test_pages_continue(store: Store) -> None:
    for number in range(5):
        store.keep({"event": f"line {number}", "level": "info"})
    store.store()
    query = parse_query("line", is_sealed=False)
    with all_tenants():
        first = search_platform_lines(query, limit=3)
        rest = search_platform_lines(query, limit=3, before=first.before)
    assert [line.message for line in (*first.lines, *rest.lines)] == [f"line {n}" for n in (4, 3, 2, 1, 0)]
    assert rest.before is None


def test_oldest_lines_are_removed_once_they_take_too_much_room(
    store: Store, change_platform_settings: ChangePlatformSettings
) -> None:
    store.keep({"event": "old", "level": "info"})
    store.store()
    # An empty table takes less than nothing.
    change_platform_settings(PLATFORM_LOG_MEGABYTES=0)
    store.keep({"event": "new", "level": "info"})
    store.store()
    assert found("") == ["new"]


def test_lines_beyond_what_waits_are_dropped_and_counted(store: Store) -> None:
    for _ in range(MOST_WAITING + 7):
        store.keep({"event": "flood", "level": "info"})
    store.store()
    with all_tenants():
        assert PlatformLog.objects.get(message="log.lines_dropped").fields["lines"] == 7


def test_tenants_see_none(store: Store, acme: Tenant, acme_user: User, client: Client, admin_user: User) -> None:
    store.keep({"event": "secret of the platform", "level": "error"})
    store.store()
    with tenant_context(acme), pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        PlatformLog.objects.exists()
    client.force_login(acme_user)
    assert "secret of the platform" not in client.get("/admin/logs/", {"of": "platform"}).content.decode()
    client.force_login(admin_user)
    assert "secret of the platform" in client.get("/admin/logs/", {"of": "platform"}).content.decode()
    assert "secret of the platform" not in client.get("/admin/logs/").content.decode()
    assert session_of(acme_user).get(f"{API}logs/platform/").status_code == 403
    answer = session_of(admin_user).get(f"{API}logs/platform/", {"q": "secret"}).json()
    assert [line["message"] for line in answer["results"]] == ["secret of the platform"]


def test_command_prints_them_as_json(store: Store) -> None:
    store.keep({"event": "hello platform", "level": "info"})
    store.store()
    out = StringIO()
    call_command("search_logs", "hello", "--platform", stdout=out)
    assert json.loads(out.getvalue())["message"] == "hello platform"
