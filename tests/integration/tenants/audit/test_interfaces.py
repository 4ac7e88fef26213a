"""The audit log in API and console: filters, places in the chain, export."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from tenants.access.memberships import add_member
from tenants.audit.chain import GENESIS
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Role
from tests.auditing import seal_entries, sign_heads
from tests.conftest import PASSWORD
from tests.integration.tenants.audit.conftest import act, seals_of
from tests.integration.tenants.audit.test_sealing import sha256

pytestmark = pytest.mark.django_db(transaction=True)
AUDIT = "/api/v1/audit-log/"
LIST = reverse("admin:tenants_auditlogentry_changelist")


def actions_of(response) -> list[str]:
    return [row["action"] for row in response.json()["results"]]


def entries(action: str) -> list[AuditLogEntry]:
    with all_tenants():
        return list(AuditLogEntry.objects.filter(action=action).order_by("id"))


def console_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def owner_api(acme_user) -> APIClient:
    """Return a client of an owner of acme, who may export."""
    client = APIClient()
    client.force_login(acme_user)
    return client


def lines_of(response) -> list[dict]:
    return [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]


def test_entry_shows_its_place_once_it_is_sealed(sealed_log, acme, api_client):
    client = api_client(acme)
    waiting, sealed, *_ = client.get(AUDIT).json()["results"]
    assert (waiting["sequence"], waiting["sealed_at"], waiting["hash"]) == (None, None, None)
    last = seals_of(acme.pk)[-1]
    assert (sealed["sequence"], sealed["hash"]) == (last.sequence, last.hash)
    assert client.get(f"{AUDIT}{sealed['id']}/").json() == sealed


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"action": "probe.done"}, 10),
        ({"target_type": "tests.probe"}, 10),
        ({"target_id": "7"}, 1),
        ({"actor_kind": "user"}, 10),
        ({"actor_id": "7"}, 10),
        ({"actor_label": "alice"}, 10),
        ({"request_id": "r-3"}, 1),
        ({"action": "probe.done", "target_id": "none"}, 0),
    ],
)
def test_each_filter_narrows_the_list(sealed_log, acme, api_client, query, count):
    assert len(api_client(acme).get(AUDIT, query).json()["results"]) == count


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "0216-03-27T12:02:32-04:43", "9999-12-31T23:59:59-12:00"]
)
@pytest.mark.parametrize("bound", ["created_after", "created_before"])
def test_extreme_time_is_a_valid_bound(acme, api_client, bound, moment):
    assert api_client(acme).get(AUDIT, {bound: moment}).status_code == 200


def test_time_filters_are_exact_to_the_microsecond(sealed_log, acme, api_client):
    client = api_client(acme)
    moment = entries("probe.done")[4].at.isoformat()
    after = client.get(AUDIT, {"created_after": moment, "action": "probe.done"})
    before = client.get(AUDIT, {"created_before": moment, "action": "probe.done"})
    assert (len(after.json()["results"]), len(before.json()["results"])) == (6, 4)


@pytest.mark.parametrize("options", [{}, {"format": "csv"}])
def test_unknown_filter_is_refused_by_name(sealed_log, owner_api, options):
    response = owner_api.get(AUDIT, {"acton": "probe.done", **options})
    assert (response.status_code, response.json()["code"]) == (400, "filter_unknown")
    assert "acton" in response.json()["detail"]


def test_export_can_be_verified_with_the_standard_library(sealed_log, acme, owner_api):
    seal_entries()
    sign_heads()
    lines = lines_of(owner_api.get(AUDIT, {"format": "jsonl"}))
    previous = GENESIS
    for line in reversed(lines):
        seal = {name: line.pop(name) for name in ("chain", "sequence", "sealed_at", "previous_hash", "hash")}
        entry_hash = line.pop("entry_hash")
        assert sha256(line) == entry_hash
        named = {name: seal[name] for name in ("chain", "sequence", "sealed_at", "previous_hash")}
        assert sha256({**named, "entry_hash": entry_hash, "version": 1}) == seal["hash"]
        assert seal["previous_hash"] == previous
        previous = seal["hash"]
    assert previous == seals_of(acme.pk)[-1].hash
    assert len(lines) >= 10


def test_export_follows_filters_and_scope_and_is_audited(sealed_log, acme, globex, owner_api):
    response = owner_api.get(AUDIT, {"format": "jsonl", "target_type": "tests.probe", "request_id": "r-1"})
    assert response["Content-Disposition"].endswith('filename="auditlogentry.jsonl"')
    (line,) = lines_of(response)
    assert (line["tenant"], line["target_id"]) == (str(acme.pk), "1")
    (entry,) = entries("audit.exported")
    assert (entry.tenant_id, entry.actor_kind) == (acme.pk, "user")
    assert entry.after == {"format": "jsonl", "filters": {"target_type": "tests.probe", "request_id": "r-1"}}


def test_export_of_many_pages_is_complete_within_its_bounds(acme, owner_api):
    with tenant_context(acme):
        AuditLogEntry.objects.bulk_create(
            AuditLogEntry(tenant=acme, actor_kind="user", action="bulk", target_type="x", target_id=str(number))
            for number in range(1_234)
        )
    response = owner_api.get(AUDIT, {"format": "jsonl"})
    act(acme, 99)
    lines = lines_of(response)
    assert [line["target_id"] for line in lines if line["action"] == "bulk"] == [str(n) for n in reversed(range(1_234))]
    assert not [line for line in lines if line["action"] == "probe.done"]


def test_csv_cells_are_never_formulas(acme, owner_api):
    with tenant_context(acme):
        for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "plain"):
            record_audit(action="probe.done", target=AuditTarget("probe"), reason=text)
    body = b"".join(owner_api.get(AUDIT, {"format": "csv"}).streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(body)))
    reasons = [row["reason"] for row in rows if row["action"] == "probe.done"]
    assert reasons == ["plain", "'\t=1", "'@SUM(A1)", "'-1", "'+1", "'=1+1"]


def test_export_needs_its_own_right(acme, staff):
    from django.contrib.auth.models import User

    member = User.objects.create_user("dora", password=PASSWORD, is_staff=True)
    add_member(tenant=acme, user=member, role=Role.DEVELOPER)
    api = APIClient()
    api.force_login(member)
    assert api.get(AUDIT).status_code == 200
    assert api.get(AUDIT, {"format": "jsonl"}).status_code == 403
    assert api.get(AUDIT, {"format": "xml"}).status_code == 403
    console = console_of(member)
    assert b"Export as CSV" not in console.get(LIST).content
    assert console.post(reverse("admin:tenants_auditlogentry_export"), {"format": "csv"}).status_code == 403


def test_unknown_format_is_refused(acme, acme_user):
    api = APIClient()
    api.force_login(acme_user)
    response = api.get(AUDIT, {"format": "xml"})
    assert (response.status_code, response.json()["code"]) == (422, "field_invalid")


def test_console_filters_and_shows_places(sealed_log, acme, acme_user, staff):
    client = console_of(acme_user)
    act(acme, 77)
    page = client.get(LIST, {"action": "probe.done"})
    assert len(page.context["cl"].result_list) == 11
    assert b"waiting" in page.content
    assert b"sealed #" in page.content
    for query, count in (
        ({"target": "7"}, 1),
        ({"target": "tests.probe"}, 11),
        ({"actor": "alice", "action": "probe.done"}, 11),
        ({"actor": "7"}, 11),
        ({"request": "r-3"}, 1),
        ({"request": "r-none"}, 0),
    ):
        assert len(client.get(LIST, query).context["cl"].result_list) == count, query
    assert b"No matches" in client.get(LIST, {"request": "r-none"}).content
    everywhere = console_of(staff)
    assert len(everywhere.get(LIST, {"tenant": "globex", "action": "probe.done"}).context["cl"].result_list) == 1


def test_console_filters_by_time(sealed_log, acme_user):
    client = console_of(acme_user)
    tomorrow = timezone.now() + timedelta(days=1)
    for day, count in ((timezone.now() - timedelta(days=1), 10), (tomorrow, 0)):
        query = {"at_from_0": f"{day:%Y-%m-%d}", "at_from_1": "00:00:00", "action": "probe.done"}
        assert len(client.get(LIST, query).context["cl"].result_list) == count


def test_entry_shows_its_changes_with_glyph_and_word(sealed_log, acme, acme_user):
    with tenant_context(acme):
        entry = record_audit(
            action="probe.changed",
            target=AuditTarget("probe"),
            before={"same": 1, "gone": "<b>", "other": 1},
            after={"same": 1, "new": [1], "other": 2},
        )
    page = console_of(acme_user).get(reverse("admin:tenants_auditlogentry_change", args=[entry.pk]))
    html = page.content.decode()
    assert "&lt;b&gt;" in html
    for kind, glyph in (("added", "+"), ("removed", "−"), ("changed", "~"), ("same", "=")):
        assert f'data-change="{kind}"' in html
        assert f'aria-hidden="true">{glyph}</span> {kind}' in html


def test_console_exports_the_filtered_list(sealed_log, acme, acme_user, staff):
    url = reverse("admin:tenants_auditlogentry_export")
    client = console_of(acme_user)
    assert client.get(url).status_code == 405
    assert client.post(url, {"format": "xml"}).status_code == 400
    lines = lines_of(client.post(f"{url}?action=probe.done", {"format": "jsonl"}))
    assert {line["tenant"] for line in lines} == {str(acme.pk)}
    assert len(lines) == 10
    (entry,) = entries("audit.exported")
    assert (entry.actor_label, entry.after["filters"]) == ("alice", {"action": "probe.done"})
    lines = lines_of(console_of(staff).post(f"{url}?action=probe.done", {"format": "jsonl"}))
    assert len(lines) == 12


def test_log_is_forbidden_without_the_right(acme):
    from django.contrib.auth.models import User

    viewer = User.objects.create_user("vera", password=PASSWORD, is_staff=True)
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    assert console_of(viewer).get(LIST).status_code == 403
