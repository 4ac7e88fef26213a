"""While a tab has the first page's stream, the stream's reader draws its parts for all who see the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from django.urls import reverse
from django.utils import translation

from scheduling.dashboards import drawn_ahead, overview
from scheduling.dashboards.streams import read_numbers
from scheduling.models import Job
from scheduling.services.bulk.starting import start_bulk_operation
from scheduling.streams.subscriptions import Part
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.console.acts import Console
from tests.integration.console.conftest import Work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("patient_locks")]
BODY, SHARES = "admin:overview_fragment", "admin:overview_shares"


@pytest.fixture(autouse=True)
def views(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No view has been drawn yet."""
    monkeypatch.setattr(drawn_ahead, "_views", drawn_ahead._Views())
    with override_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        yield


def read(monkeypatch: pytest.MonkeyPatch, at: float = 1_000.0, language: str = "en") -> list[Part]:
    """As the reader does in a scope: the parts that the tabs are told."""
    monkeypatch.setattr(drawn_ahead.time, "monotonic", lambda: at)
    with translation.override(language):
        _, draw = read_numbers()
        return list(draw())


def test_a_tab_is_told_what_a_poll_would_have_given_it(
    console: Console, staff: User, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = console(staff)
    with all_tenants():
        told = {part.name: part for part in read(monkeypatch) if part.variant in {None, "bulk"}}
    for name, url in (("overview", BODY), ("shares", SHARES)):
        answer = client.get(reverse(url))
        assert answer.content.decode() == told[name].body
        assert answer.headers["ETag"] == told[name].tag


def test_parts_are_told_every_five_seconds(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with tenant_context(acme):
        # The reader is a little early, a little late.
        seconds = [1_000.0, 1_000.9, 1_002.0, 1_003.1, 1_004.0, 1_004.9, 1_006.0]
        told = [[(part.name, part.variant) for part in read(monkeypatch, at)] for at in seconds]
    all_parts = [("overview", ""), ("overview", "bulk"), ("shares", None)]
    assert told == [all_parts, [], [], [], [], all_parts, []]


def test_each_language_has_its_own(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with tenant_context(acme):
        bodies = [read(monkeypatch, language=language)[0].body for language in ("en", "zh-hans")]
    assert bodies[0] != bodies[1]


def test_who_may_abort_finds_the_act_and_who_may_not_does_not(acme_work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    with tenant_context(acme_work.tenant):
        assert len({part.body for part in read(monkeypatch) if part.name == "overview"}) == 1
        number = Job.objects.filter(kind="noop").count()
        start_bulk_operation(filter_text="kind:noop", operation="cancel", parameters={}, reason="a test", number=number)
        bodies = {part.variant: part.body for part in read(monkeypatch, 1_005.0) if part.name == "overview"}
    assert "Abort…" in bodies["bulk"]
    assert "Abort…" not in bodies[""]


def test_so_many_views_and_no_more_are_drawn(acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_ahead, "MOST_VIEWS", 1)
    for tenant, at, is_drawn in (
        (acme, 0, True),
        (globex, 1, False),
        (acme, 2, False),
        (globex, 8, True),
        (acme, 9, False),
    ):
        with tenant_context(tenant):
            assert bool(read(monkeypatch, 1_000.0 + at)) == is_drawn, (tenant.slug, at)


def test_a_part_that_cannot_be_drawn_costs_nobody_the_numbers(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> object:
        raise LookupError("no such page")

    monkeypatch.setattr(overview, "read_shares", refuse)
    with tenant_context(acme):
        # What could be drawn is told.
        assert [part.name for part in read(monkeypatch)] == ["overview", "overview"]
        assert Job.objects.count() == 0
    assert "console.not_drawn_ahead" in caplog.text


def test_nothing_is_drawn_but_what_is_told(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with tenant_context(acme):
        assert len(read(monkeypatch)) == 3
        monkeypatch.setattr(overview, "_render_body", None)
        monkeypatch.setattr(overview, "read_shares", None)
        assert read(monkeypatch, 1_001.0) == []
