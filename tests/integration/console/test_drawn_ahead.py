"""While a tab has the first page's stream, its parts are drawn by the stream's reader, for all who see the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
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
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[str, float]]]:
    """What is in Redis, by the end of its name: the document and for how long; nothing is kept in memory."""
    kept: dict[str, tuple[str, float]] = {}

    def write(name: str, text: bytes, seconds: float, *, is_new: bool = False) -> None:
        kept[name] = (text.decode(), seconds)

    monkeypatch.setattr(
        "tenants.shared_cache._read_shared", lambda name: kept[name][0].encode() if name in kept else None
    )
    monkeypatch.setattr("tenants.shared_cache._write_shared", write)
    monkeypatch.setattr(drawn_ahead, "_views", drawn_ahead._Views())
    parts = (overview._kept_body, overview._kept_shares)
    for part in parts:
        part._kept._kept.clear()
    with override_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        yield kept
    for part in parts:
        part._kept._kept.clear()


def read(monkeypatch: pytest.MonkeyPatch, at: float = 1_000.0, language: str = "en") -> list[Part]:
    """As the reader does in a scope: the parts that the tabs are told."""
    monkeypatch.setattr(drawn_ahead.time, "monotonic", lambda: at)
    with translation.override(language):
        _, draw = read_numbers()
        return list(draw())


@pytest.mark.parametrize("part", [BODY, SHARES])
def test_whoever_asks_finds_the_part_drawn(
    console: Console,
    staff: User,
    acme_work: Work,
    shared: dict[str, tuple[str, float]],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    client = console(staff)
    drawn = client.get(reverse(part)).content
    for kept in (overview._kept_body, overview._kept_shares):
        kept._kept._kept.clear()
    shared.clear()
    with all_tenants():
        read(monkeypatch)
    monkeypatch.setattr(overview, "read_overview", None)
    monkeypatch.setattr(overview, "read_shares", None)
    again = client.get(reverse(part)).content
    assert b"<section" in drawn
    assert b"<section" in again


def test_a_tenants_people_find_their_own_and_nobody_elses(
    client: Client, acme_user: User, globex_user: User, acme: Tenant, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_context(acme):
        read(monkeypatch)
    client.force_login(acme_user)
    monkeypatch.setattr(overview, "read_overview", None)
    assert client.get(reverse(BODY)).status_code == 200
    client.force_login(globex_user)
    with pytest.raises(TypeError):
        client.get(reverse(BODY))


def test_they_are_kept_beyond_one_reading_that_comes_late(
    acme: Tenant, shared: dict[str, tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_context(acme):
        for second in range(9):
            shared.clear()
            read(monkeypatch, 1_000.0 + second)
            names = {name.rsplit(":", 4)[1]: seconds for name, (_, seconds) in shared.items()}
            assert names["overview"] == drawn_ahead.BODY_KEPT_SECONDS > 2
            # Every five seconds, for seven.
            assert ("shares" in names) == (second % 5 == 0)
            assert names.get("shares", 7.0) == drawn_ahead.SHARES_KEPT_SECONDS > drawn_ahead.SHARES_SECONDS


def test_a_tab_is_told_what_a_poll_would_have_given_it(
    console: Console, staff: User, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    with all_tenants():
        told = {part.name: part for part in read(monkeypatch) if part.variant in {None, "bulk"}}
    client = console(staff)
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


def test_each_language_has_its_own(
    acme: Tenant, shared: dict[str, tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_context(acme):
        read(monkeypatch, language="en")
        read(monkeypatch, language="zh-hans")
    bodies = {name.split(":")[-2]: body for name, (body, _) in shared.items() if ":overview:" in name}
    assert set(bodies) == {"en", "zh-hans"}
    assert bodies["en"] != bodies["zh-hans"]


def test_who_may_abort_finds_the_act_and_who_may_not_does_not(
    acme_work: Work, shared: dict[str, tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_context(acme_work.tenant):
        read(monkeypatch)
        assert len({body for name, (body, _) in shared.items() if ":overview:" in name}) == 1
        number = Job.objects.filter(kind="noop").count()
        start_bulk_operation(filter_text="kind:noop", operation="cancel", parameters={}, reason="a test", number=number)
        read(monkeypatch, 1_001.0)
    bodies = {name.split(":")[-1]: json.loads(body) for name, (body, _) in shared.items() if ":overview:" in name}
    assert "Abort…" in bodies["bulk"]
    assert "Abort…" not in bodies[""]


def test_so_many_views_and_no_more_are_drawn(
    acme: Tenant, globex: Tenant, shared: dict[str, tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn_ahead, "MOST_VIEWS", 1)
    for tenant, at, is_drawn in (
        (acme, 0, True),
        (globex, 1, False),
        (acme, 2, True),
        (globex, 7, True),
        (acme, 8, False),
    ):
        shared.clear()
        with tenant_context(tenant):
            read(monkeypatch, 1_000.0 + at)
        assert bool(shared) == is_drawn


def test_a_part_that_cannot_be_drawn_costs_nobody_the_numbers(
    acme: Tenant,
    shared: dict[str, tuple[str, float]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse() -> object:
        raise LookupError("no such page")

    monkeypatch.setattr(overview, "read_shares", refuse)
    with tenant_context(acme):
        # What could be drawn is told.
        assert [part.name for part in read(monkeypatch)] == ["overview", "overview"]
        assert Job.objects.count() == 0
    assert [name for name in shared if ":shares:" in name] == []
    assert "console.not_drawn_ahead" in caplog.text


def test_where_nothing_is_kept_nothing_is_drawn_but_what_is_told(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(CONFIGURATION_CACHE_SECONDS=0), tenant_context(acme):
        assert len(read(monkeypatch)) == 3
        monkeypatch.setattr(overview, "_render_body", None)
        monkeypatch.setattr(overview, "read_shares", None)
        assert read(monkeypatch, 1_001.0) == []
