"""Cached fragments of the overview: rendered once for all users with the same view, and for no others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from scheduling.bulk.starting import start_bulk_operation
from scheduling.models import Job
from scheduling.overview import page as overview
from scheduling.statistics import heat_page
from tenants.access.memberships import add_member
from tenants.context import tenant_context
from tenants.models import Role
from tests.integration.console.admin_actions import Console
from tests.integration.console.conftest import Work
from tests.platform_settings import override_platform_settings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout", "kept")]
PARTS = ("admin:overview_fragment", "admin:overview_shares", "admin:heat_map_fragment")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cache fragments for as long as a test takes."""
    parts = (overview._kept_body, overview._kept_shares, heat_page._kept)
    monkeypatch.setattr("tenants.console.polled_parts.KEPT_SECONDS", 60.0)
    for part in parts:
        part.clear()
    with override_platform_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        yield
    for part in parts:
        part.clear()


@pytest.mark.parametrize("part", PARTS)
def test_cached_fragment_is_answered_with_five_statements(
    console: Console, staff: User, acme_work: Work, part: str
) -> None:
    client = console(staff)
    first = client.get(reverse(part))
    with CaptureQueriesContext(connection) as captured:
        second = client.get(reverse(part))
    assert second.content == first.content
    # The session, its account, the scope; in a test, the request's transactions are savepoints.
    assert len(captured.captured_queries) <= 6, [query["sql"] for query in captured.captured_queries]
    assert client.get(reverse(part), headers={"if-none-match": first["ETag"]}).status_code == 304


@pytest.mark.parametrize("part", PARTS)
def test_cached_fragment_is_separate_for_each_tenant(
    client: Client, staff: User, acme_user: User, globex_user: User, acme_work: Work, globex_work: Work, part: str
) -> None:
    bodies = {}
    for user in (staff, acme_user, globex_user, acme_user):
        client.force_login(user)
        bodies[user.username] = client.get(reverse(part)).content.decode()
    assert len(set(bodies.values())) == 3
    assert "globex" not in bodies[acme_user.username].lower()
    assert "acme" not in bodies[globex_user.username].lower()


def test_cached_fragment_of_an_owner_is_not_shown_to_a_viewer(
    console: Console, acme_user: User, outsider: User, acme_work: Work
) -> None:
    add_member(tenant=acme_work.tenant, user=outsider, role=Role.VIEWER)
    with tenant_context(acme_work.tenant):
        number = Job.objects.filter(kind="noop").count()
        start_bulk_operation(filter_text="kind:noop", operation="cancel", parameters={}, reason="a test", number=number)
    for user, is_offered in ((acme_user, True), (outsider, False)):
        page = console(user).get(reverse("admin:overview_fragment")).content.decode()
        assert ("Abort…" in page) is is_offered


def test_cached_fragment_is_separate_for_each_language(console: Console, staff: User) -> None:
    client = console(staff)
    english = client.get(reverse("admin:overview_fragment")).content.decode()
    chinese = client.get(reverse("admin:overview_fragment"), headers={"accept-language": "zh-hans"}).content.decode()
    assert "Queues" in english
    assert "队列" in chinese


def test_page_embeds_the_fragment_as_html(console: Console, staff: User) -> None:
    client = console(staff)
    client.get(reverse("admin:index"))
    page = client.get(reverse("admin:index")).content.decode()
    assert '<section aria-label="Now" class="console-tiles">' in page


def test_table_view_does_not_replace_the_cached_fragment(console: Console, staff: User) -> None:
    client = console(staff)
    plain = client.get(reverse("admin:overview_fragment")).content
    assert client.get(reverse("admin:overview_fragment") + "?view=table").content != plain
    assert client.get(reverse("admin:overview_fragment")).content == plain


def test_console_html_is_not_stored_in_redis(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    for part in PARTS:
        assert b"<" in client.get(reverse(part)).content
    with redis.Redis.from_url(str(settings.CACHES["default"]["LOCATION"])) as cache:
        held = [cache.get(key) or b"" for key in cache.scan_iter("*:kept:*")]
    assert [document for document in held if b"<section" in document or b"<div" in document] == []


def test_expired_fragments_leave_memory(
    console: Console, staff: User, acme_user: User, client: Client, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.console.polled_parts.KEPT_SECONDS", 0.0)
    monkeypatch.setattr("tenants.console.polled_parts.STALE_SECONDS", 0.0)
    console(staff).get(reverse(PARTS[0]))
    client.force_login(acme_user)
    client.get(reverse(PARTS[0]))
    assert len(overview._kept_body._entries) == 1
