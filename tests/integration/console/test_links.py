"""Every tenant, kind, queue, worker and batch in a table of the console is a link."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from selectolax.lexbor import LexborHTMLParser

from scheduling.models import Queue, Worker, WorkerPool
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db
Console = Callable[[User], Client]
LISTS = (
    *("job", "batch", "deadletter", "execution", "liveexecution", "jobevent", "charge", "fairsharenode"),
    *("tenantcapacity", "circuit", "bulkoperation", "schedule", "queue", "worker", "routingrule"),
)
OWN_PAGES = ("index", "overview_shares", "overview_fragment", "fairness", "failures", "job_kinds")


def bare_names(client: Client, path: str, names: set[str]) -> Iterator[str]:
    """Yield the names outside of a link in cells of the page's tables and in heads of its charts."""
    answer = client.get(path)
    assert answer.status_code in {200, 286}, path
    tree = LexborHTMLParser(answer.content.decode())
    for link in tree.css("a"):
        link.decompose()
    for cell in tree.css("tbody td, tbody th, .console-share-name, .console-heat-kind, .console-facts dd"):
        words = {part.strip(" ,·") for part in cell.text(separator="\n").split("\n")}
        yield from (f"{path}: {name}" for name in words & names)


@pytest.mark.parametrize("model", LISTS)
def test_names_in_lists_are_links(
    console: Console, staff: User, acme_work: Work, globex_work: Work, live_worker: Worker, model: str
) -> None:
    path = reverse(f"admin:scheduling_{model}_changelist")
    assert list(bare_names(console(staff), path, _names(acme_work.tenant, globex_work.tenant, live_worker))) == []


@pytest.mark.parametrize("name", OWN_PAGES)
def test_names_in_pages_of_their_own_are_links(
    console: Console, staff: User, acme_work: Work, globex_work: Work, live_worker: Worker, name: str
) -> None:
    path = reverse(f"admin:{name}")
    assert list(bare_names(console(staff), path, _names(acme_work.tenant, globex_work.tenant, live_worker))) == []


def test_names_on_pages_of_rows_are_links(
    console: Console, staff: User, acme_work: Work, globex_work: Work, live_worker: Worker
) -> None:
    names = _names(acme_work.tenant, globex_work.tenant, live_worker)
    for path in (
        reverse("admin:scheduling_job_change", args=[acme_work.failed.pk]),
        reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk]),
        reverse("admin:scheduling_worker_change", args=[live_worker.pk]),
        reverse("admin:failures"),
        f"{reverse('admin:scheduling_bulkoperation_start')}?operation=cancel&filter=kind:noop",
        reverse("admin:fairness") + "?view=table",
        reverse("admin:heat_map_fragment") + "?view=table",
    ):
        assert list(bare_names(console(staff), path, names)) == [], path


def test_link_by_name_leads_to_the_page_of_the_row(console: Console, staff: User, acme: Tenant) -> None:
    client, queue = console(staff), Queue.objects.get(name="dataset")
    for by_name, page in (
        (reverse("admin:tenants_tenant_change", args=["acme"]), ("tenants_tenant", acme.pk)),
        (reverse("admin:scheduling_queue_change", args=["dataset"]), ("scheduling_queue", queue.pk)),
    ):
        answer = client.get(by_name)
        assert (answer.status_code, answer.headers["Location"]) == (
            302,
            reverse(f"admin:{page[0]}_change", args=[page[1]]),
        )
    assert client.get(reverse("admin:tenants_tenant_change", args=["unknown"])).status_code == 404


def test_member_reaches_no_foreign_row_by_its_name(console: Console, acme_user: User, globex: Tenant) -> None:
    client = console(acme_user)
    assert client.get(reverse("admin:tenants_tenant_change", args=["globex"])).status_code == 404
    assert client.get(reverse("admin:scheduling_queue_change", args=["dataset"])).status_code == 403


def test_links_of_a_member_lead_to_pages_that_it_may_view(
    console: Console, acme_user: User, acme_work: Work, live_worker: Worker
) -> None:
    client = console(acme_user)
    for path in (
        reverse("admin:index"),
        reverse("admin:scheduling_job_changelist"),
        reverse("admin:scheduling_job_change", args=[acme_work.failed.pk]),
        reverse("admin:scheduling_execution_changelist"),
        reverse("admin:job_kinds"),
    ):
        tree = LexborHTMLParser(client.get(path).content.decode())
        for link in {str(link.attributes["href"]) for link in tree.css("main a.console-link")}:
            assert client.get(link, follow=True).status_code == 200, (path, link)


def _names(acme: Tenant, globex: Tenant, worker: Worker) -> set[str]:
    with all_tenants():
        # A name that a pool has too may stand in the column of pools.
        pools = WorkerPool.objects.values("name")
        queues = set(Queue.objects.exclude(name__in=pools).values_list("name", flat=True))
    return {acme.slug, acme.name, globex.slug, globex.name, "noop", str(worker), "acme upload", *queues}
