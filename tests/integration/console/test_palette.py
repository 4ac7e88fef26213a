"""The palette finds things, pages and acts that the user may see, and an act only leads to its page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from selectolax.lexbor import LexborHTMLParser

from scheduling.models import Queue
from scheduling.schedules.definitions import create_schedule
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Membership, Role, Tenant
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db
Console = Callable[[User], Client]
URL = "/admin/search/"
MOST_QUERIES = 40


def count_entries() -> int:
    with all_tenants():
        return AuditLogEntry.objects.count()


def find(client: Client, text: str) -> dict[str, str]:
    """Return the links of the results by their titles."""
    answer = client.get(URL, {"s": text})
    assert answer.status_code == 200
    tree = LexborHTMLParser(answer.content.decode())
    return {
        str(link.attributes["data-title"]): str(link.attributes["href"]) for link in tree.css("#command-results-list a")
    }


def test_palette_finds_tenants_queues_schedules_and_kinds_by_name(
    console: Console, staff: User, acme: Tenant, globex: Tenant
) -> None:
    create_schedule(tenant=acme, values={"name": "nightly report", "kind": "noop", "cron": "30 2 * * *"})
    client = console(staff)
    assert find(client, "glob")[f"Tenant {globex}"] == reverse("admin:tenants_tenant_change", args=[globex.pk])
    queue = Queue.objects.get(name="dataset")
    assert find(client, "dataset")["Queue dataset"] == reverse("admin:scheduling_queue_change", args=[queue.pk])
    assert "Schedule nightly report" in find(client, "report")
    assert find(client, "noop")["noop"] == f"{reverse('admin:job_kinds')}#kind-noop"


def test_palette_finds_jobs_batches_and_letters_by_id(console: Console, staff: User, acme_work: Work) -> None:
    client, job = console(staff), acme_work.failed
    page = reverse("admin:scheduling_job_change", args=[job.pk])
    for text in (str(job.pk), str(job.pk)[:18], f"…{str(job.pk)[-12:]}", str(job.pk)[-12:], str(job.pk).upper()):
        assert page in find(client, text).values(), text
    batch = reverse("admin:scheduling_batch_change", args=[job.batch_id])
    letter = reverse("admin:scheduling_deadletter_change", args=[acme_work.letter.pk])
    assert batch in find(client, str(job.batch_id)).values()
    assert letter in find(client, str(acme_work.letter.pk)).values()


def test_palette_finds_pages_by_their_own_and_their_entrys_name(console: Console, staff: User) -> None:
    client = console(staff)
    assert find(client, "virtual")["Virtual times"] == reverse("admin:scheduling_fairsharenode_changelist")
    assert {"Queues", "Workers", "Worker pools"} <= set(find(client, "queues & w"))


def test_palette_leads_to_acts(console: Console, staff: User, acme: Tenant) -> None:
    client = console(staff)
    page = reverse("admin:tenants_tenant_change", args=[acme.pk])
    assert find(client, "pause tenant acme")[f"Pause tenant {acme}"] == f"{page}#act-pause"
    assert 'id="act-pause"' in client.get(page).content.decode()
    assert f"Suspend tenant {acme}" in find(client, "susp acme")
    retry = find(client, "retry failures of kind fail")["Retry failures of kind fail"]
    assert client.get(retry).status_code == 200
    assert "kind:fail" in client.get(retry).content.decode()
    kind = find(client, "pause kind noop")["Pause kind noop"]
    assert 'value="noop" selected' in client.get(kind).content.decode()
    assert find(client, "drain dataset")["Drain queue dataset"].endswith("#act-drain")


def test_palette_fills_in_the_form_of_a_new_job(
    console: Console, staff: User, acme_user: User, acme: Tenant, globex: Tenant
) -> None:
    client = console(staff)
    form = find(client, "submit a sleep job for globex")[f"Submit a sleep job for {globex}"]
    page = client.get(form).content.decode()
    assert f'value="{globex.pk}" selected' in page
    assert 'value="sleep" selected' in page
    assert "payload/seconds" in page
    assert find(client, "submit sleep nowhere") == {}
    assert find(client, "submit webhook_delivery") == {}
    url = reverse("admin:scheduling_job_submit")
    assert find(client, "sub sleep") == {"Submit a sleep job": f"{url}?kind=sleep"}
    # A member has no choice of a tenant.
    assert find(console(acme_user), "submit sleep globex") == {"Submit a sleep job": f"{url}?kind=sleep"}
    with all_tenants():
        Membership.objects.filter(user=acme_user).update(role=Role.VIEWER)
    assert find(console(acme_user), "submit sleep") == {}


def test_palette_acts_on_nothing(console: Console, staff: User, acme: Tenant) -> None:
    client = console(staff)
    before = count_entries()
    for link in find(client, "pause tenant acme").values():
        client.get(link)
    with all_tenants():
        acme.refresh_from_db()
    assert not acme.is_paused
    assert count_entries() == before


def test_member_finds_only_its_own_things_and_acts(
    console: Console, acme_user: User, acme: Tenant, globex_work: Work
) -> None:
    client = console(acme_user)
    assert find(client, "globex") == {}
    for text in (str(globex_work.failed.pk), str(globex_work.failed.pk)[-12:], "pause tenant globex"):
        assert find(client, text) == {}, text
    assert f"Pause tenant {acme}" in find(client, "pause acme")
    assert f"Suspend tenant {acme}" not in find(client, "suspend acme")
    assert not [title for title in find(client, "tasks_team") if title.startswith("Queue")]
    assert find(client, "drain dataset") == {}


@pytest.mark.parametrize(
    "text", ["", "   ", "%", "'", "…", "x" * 5_000, "pause", "0" * 31, "🦆", "b77b240f-c35f-4c36-bb52-95e80cd48285"]
)
def test_palette_answers_any_text(console: Console, staff: User, text: str) -> None:
    assert console(staff).get(URL, {"s": text}).status_code == 200


def test_palette_reads_a_bounded_number_of_rows(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        find(client, str(acme_work.failed.pk)[-12:])
    things = [query["sql"] or "" for query in asked if '"scheduling_' in (query["sql"] or "")]
    assert things
    assert [sql for sql in things if "LIMIT" not in sql] == []
    assert len(asked) <= MOST_QUERIES
