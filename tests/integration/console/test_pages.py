"""Every page of the console renders, for staff and for a member, with only their rows."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.models import CFSPlan, Queue, RoutingRule, Worker
from tenants.console.polled_parts import STOP_POLLING
from tenants.models import Tenant
from tests.integration.console.conftest import Work, random_id
from tests.integration.scheduling.job_helpers import submit
from tests.polled import is_answered_304

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]
STAFF_ONLY = ("queue", "workerpool", "worker", "routingrule", "cfsplan", "kindpause")
OWN_ROWS = ("job", "batch", "deadletter", "execution", "liveexecution", "jobevent", "charge", "fairsharenode")


def _list_urls() -> list[str]:
    labels = sorted((model._meta.app_label, model._meta.model_name) for model in admin.site._registry)
    return [f"admin:{app}_{model}_changelist" for app, model in labels]


def test_every_list_renders_for_staff(console: Console, staff: User, acme_work: Work, live_worker: Worker) -> None:
    client = console(staff)
    faults = {name: client.get(reverse(name)).status_code for name in _list_urls()}
    assert {name: status for name, status in faults.items() if status != 200} == {}


def test_every_list_renders_or_is_forbidden_for_a_member(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    client = console(acme_user)
    for name in _list_urls():
        response = client.get(reverse(name))
        assert response.status_code in {200, 403}, name
        if response.status_code == 200:
            assert "globex" not in response.content.decode().lower(), name


@pytest.mark.parametrize("model", STAFF_ONLY)
def test_platform_pages_are_forbidden_for_members(console: Console, acme_user: User, model: str) -> None:
    assert console(acme_user).get(reverse(f"admin:scheduling_{model}_changelist")).status_code == 403


@pytest.mark.parametrize("model", OWN_ROWS)
def test_member_sees_only_its_own_rows(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work, model: str
) -> None:
    response = console(acme_user).get(reverse(f"admin:scheduling_{model}_changelist"))
    assert response.status_code == 200
    tenants = {row.tenant_id for row in response.context["cl"].result_list}
    assert tenants <= {acme_work.tenant.pk}
    if model not in {"liveexecution", "fairsharenode"}:
        assert tenants


def test_every_detail_page_renders_for_staff(
    console: Console, staff: User, acme_work: Work, live_worker: Worker
) -> None:
    client = console(staff)
    pages = {
        "job": acme_work.failed.pk,
        "batch": acme_work.failed.batch_id,
        "deadletter": acme_work.letter.pk,
        "execution": acme_work.execution.pk,
        "worker": live_worker.pk,
        "queue": Queue.objects.get(name="dataset").pk,
        "workerpool": live_worker.pool_id,
        "routingrule": RoutingRule.objects.earliest("position").pk,
        "cfsplan": CFSPlan.objects.get(name="cloud").pk,
    }
    for model, key in pages.items():
        response = client.get(reverse(f"admin:scheduling_{model}_change", args=[key]))
        assert response.status_code == 200, model


def test_row_in_flight_that_has_ended_leads_to_its_execution(
    console: Console, staff: User, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    ended = reverse("admin:scheduling_execution_change", args=[acme_work.execution.pk])
    client = console(acme_user)
    answer = client.get(reverse("admin:scheduling_liveexecution_change", args=[acme_work.execution.pk]))
    assert (answer.status_code, answer.headers["Location"]) == (302, ended)
    for gone in (globex_work.execution.pk, random_id()):
        assert client.get(reverse("admin:scheduling_liveexecution_change", args=[gone])).status_code == 404


def test_every_add_page_renders_for_staff(console: Console, staff: User) -> None:
    client = console(staff)
    for name in _list_urls():
        response = client.get(reverse(name.replace("_changelist", "_add")))
        assert response.status_code in {200, 403}, name


def test_foreign_job_is_not_found(console: Console, acme_user: User, globex_work: Work) -> None:
    client = console(acme_user)
    for key in (globex_work.waiting.pk, random_id()):
        assert client.get(reverse("admin:scheduling_job_change", args=[key])).status_code == 404
        assert client.get(reverse("admin:scheduling_job_body", args=[key])).status_code == 404


def test_body_of_ended_job_stops_polling(console: Console, acme_user: User, acme_work: Work) -> None:
    client = console(acme_user)
    for job, status in ((acme_work.waiting, 200), (acme_work.failed, STOP_POLLING)):
        answer = client.get(reverse("admin:scheduling_job_body", args=[job.pk]))
        assert answer.status_code == status
        page = client.get(reverse("admin:scheduling_job_change", args=[job.pk])).content.decode()
        assert ('hx-trigger="every 1s"' in page) is (status == 200)
    url = reverse("admin:scheduling_job_body", args=[acme_work.failed.pk])
    assert is_answered_304(client, url)


def test_job_page_shows_its_facts(console: Console, acme_user: User, acme_work: Work) -> None:
    client = console(acme_user)
    failed = client.get(reverse("admin:scheduling_job_change", args=[acme_work.failed.pk])).content.decode()
    for text in ("ParseError", "acme broke", "Traceback", "execution.failed", "permanent error", "acme upload"):
        assert text in failed
    waiting = client.get(reverse("admin:scheduling_job_change", args=[acme_work.waiting.pk])).content.decode()
    assert "acme-payload" not in waiting
    for text in ("masked", "Why it waits", "night"):
        assert text in waiting


def test_lists_page_by_key(console: Console, staff: User, acme_work: Work, globex_work: Work) -> None:
    client = console(staff)
    url = reverse("admin:scheduling_job_changelist")
    whole = [job.pk for job in client.get(url).context["cl"].result_list]
    assert whole == sorted(whole, reverse=True)
    older = client.get(url, {"before": str(whole[1])}).context["cl"]
    assert [job.pk for job in older.result_list] == whole[2:]
    assert older.newer_url is not None
    newer = client.get(url, {"after": str(whole[2])}).context["cl"]
    assert [job.pk for job in newer.result_list] == whole[:2]


@pytest.mark.parametrize(
    "query",
    [
        "state=discarded",
        "state=available",
        "state=nonsense",
        "kind=noop",
        "queue=tasks_team",
        "tenant=acme",
        "q=not-an-id",
        "before=not-a-uuid",
        "q=%F0%9F%A6%86",
    ],
)
def test_filters_and_searches_answer(console: Console, staff: User, acme_work: Work, query: str) -> None:
    assert console(staff).get(f"{reverse('admin:scheduling_job_changelist')}?{query}").status_code == 200


def test_job_is_found_by_its_id_and_by_its_batch(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    url = reverse("admin:scheduling_job_changelist")
    by_id = client.get(url, {"q": str(acme_work.failed.pk)}).context["cl"].result_list
    assert [job.pk for job in by_id] == [acme_work.failed.pk]
    by_batch = client.get(url, {"q": str(acme_work.failed.batch_id)}).context["cl"].result_list
    assert {job.pk for job in by_batch} == {acme_work.failed.pk, acme_work.waiting.pk}


def test_every_editable_field_has_a_help_text(console: Console, staff: User) -> None:
    client = console(staff)
    pages = [
        reverse("admin:scheduling_queue_change", args=[Queue.objects.get(name="dataset").pk]),
        reverse("admin:scheduling_queue_add"),
        reverse("admin:scheduling_workerpool_add"),
        reverse("admin:scheduling_routingrule_add"),
        reverse("admin:scheduling_cfsplan_add"),
        reverse("admin:scheduling_kindpause_add"),
    ]
    for page in pages:
        form = client.get(page).context["adminform"].form
        silent = [name for name, field in form.fields.items() if not field.help_text]
        assert silent == [], page


def test_account_without_tenant_or_role_is_sent_to_the_login(console: Console) -> None:
    lost = User.objects.create_user("lost", password="correct horse battery staple", is_staff=True)
    page = console(lost).get(reverse("admin:index"), follow=True)
    assert page.redirect_chain[0][0].startswith(reverse("admin:login"))
    assert "without a tenant and without a platform role" in page.content.decode()


def test_filter_without_an_index_reads_bounded_pages(
    console: Console, staff: User, acme_work: Work, globex_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.console.keyset.LOOK_LIMIT", 1)
    client = console(staff)
    executions = reverse("admin:scheduling_execution_changelist")
    first = client.get(executions, {"outcome": "crashed"}).context["cl"]
    assert (list(first.result_list), first.look_limit) == ([], 1)
    assert "Scanned 1 rows" in client.get(executions, {"outcome": "crashed"}).content.decode()
    found, page = [], client.get(executions, {"outcome": "failed"}).context["cl"]
    while True:
        found += [execution.pk for execution in page.result_list]
        if page.older_url is None:
            break
        page = client.get(executions + page.older_url).context["cl"]
    assert set(found) == {acme_work.execution.pk, globex_work.execution.pk}
    assert len(found) == 2


@pytest.mark.parametrize("narrowed", [{}, {"tenant": "acme"}])
def test_bounded_page_leads_back_to_newer_rows(
    console: Console, staff: User, acme: Tenant, monkeypatch: pytest.MonkeyPatch, narrowed: dict[str, str]
) -> None:
    wanted = submit(acme, kind="sleep", payload={"seconds": 1})[0]
    submit(acme, count=5)
    monkeypatch.setattr("tenants.console.keyset.LOOK_LIMIT", 1)
    client, jobs = console(staff), reverse("admin:scheduling_job_changelist")
    page = client.get(jobs, {"kind": "sleep", **narrowed}).context["cl"]
    while page.older_url is not None:
        page = client.get(jobs + page.older_url).context["cl"]
    asked = 0
    page = client.get(jobs, {"kind": "sleep", "after": str(UUID(int=0)), **narrowed}).context["cl"]
    assert [job.pk for job in page.result_list] == [wanted.pk]
    while page.newer_url is not None:
        page, asked = client.get(jobs + page.newer_url).context["cl"], asked + 1
        assert list(page.result_list) == []
    assert asked > 1


def test_members_unindexed_filter_is_bounded_too(
    console: Console, acme_user: User, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.console.keyset.LOOK_LIMIT", 1)
    client, jobs = console(acme_user), reverse("admin:scheduling_job_changelist")
    walked = client.get(jobs, {"state": "cancelled"}).context["cl"]
    assert (list(walked.result_list), walked.look_limit) == ([], 1)
    # A state with its own table is found completely.
    found = client.get(jobs, {"state": "discarded"}).context["cl"]
    assert ([job.pk for job in found.result_list], found.look_limit) == ([acme_work.failed.pk], None)
