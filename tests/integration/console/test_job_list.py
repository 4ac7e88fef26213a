"""The list of jobs: its filter, messages, and the fragments loaded later."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from scheduling.jobs.cancellation import cancel_job
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.console.conftest import Work, random_id
from tests.integration.scheduling.job_helpers import submit
from tests.polled import is_answered_304

pytestmark = pytest.mark.django_db

Console = Callable[[User], Client]


def address() -> str:
    return reverse("admin:scheduling_job_changelist")


def shown(client: Client, **parameters: Any) -> list[Any]:
    """Return the ids of the list, newest first."""
    return [job.pk for job in client.get(address(), parameters).context["cl"].result_list]


def words(response: Any) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).replace("\n", " ")


def links(response: Any, pattern: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(rf'href="([^"]*{pattern}[^"]*)"', response.content.decode())]


def test_filter_box_narrows_the_list(console: Console, staff: User, acme_work: Work, globex_work: Work) -> None:
    client = console(staff)
    assert shown(client, q="state:discarded tenant:acme") == [acme_work.failed.pk]
    assert shown(client, q="-state:discarded tag:night -tenant:acme") == [globex_work.waiting.pk]
    assert shown(client, q="error:Parse -tenant:globex age:<1h") == [acme_work.failed.pk]
    assert shown(client, q="error:Parse age:>1h") == []


def test_filter_of_a_member_finds_no_foreign_jobs(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    client = console(acme_user)
    assert shown(client, q="tenant:globex") == []
    assert shown(client, q=str(globex_work.failed.pk)) == []
    assert shown(client, q="state:discarded") == [acme_work.failed.pk]


def test_parameters_named_like_fields_are_written_into_the_box(console: Console, staff: User, acme_work: Work) -> None:
    page = console(staff).get(f"{address()}?state=discarded&kind=noop&q=night")
    assert page.context["filter_text"] == "night state:discarded kind:noop"
    assert shown(console(staff), state="discarded", tenant="acme") == [acme_work.failed.pk]


def test_each_condition_can_be_removed(console: Console, staff: User, acme_work: Work) -> None:
    page = console(staff).get(address(), {"q": "state:discarded -kind:sleep"})
    assert page.context["filter_words"] == "Jobs whose state is discarded, not of kind sleep."
    assert "Remove state:discarded" in page.content.decode()
    assert [chip["address"] for chip in page.context["chips"]] == [
        f"{address()}?q=-kind%3Asleep",
        f"{address()}?q=state%3Adiscarded",
    ]


def test_invalid_filter_is_shown_with_a_suggestion(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    page = client.get(address(), {"q": "kind:noop state:canceled"})
    assert page.status_code == 200
    assert list(page.context["cl"].result_list) == []
    assert "At character 17, “canceled”" in words(page)
    assert 'aria-invalid="true"' in page.content.decode()
    (mended,) = links(page, "cancelled")
    assert client.get(mended).context["filter_text"] == "kind:noop state:cancelled"
    for bad in ("a" * 300, '"', "state:"):
        assert client.get(address(), {"q": bad}).status_code == 200


def test_empty_list_states_the_reason(
    console: Console, staff: User, acme_work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = console(staff)
    assert "Filter: Jobs in queue nowhere." in words(client.get(address(), {"q": "queue:nowhere"}))
    monkeypatch.setattr("tenants.console.keyset.LOOK_LIMIT", 1)
    page = client.get(address(), {"q": "queue:nowhere"})
    assert "No index serves this filter" in words(page)
    assert page.context["cl"].older_url is not None


def test_pages_keep_the_filter(console: Console, staff: User, acme: Tenant) -> None:
    jobs = [job.pk for job in submit(acme, count=60, tags=("many",))][::-1]
    client = console(staff)
    page = client.get(address(), {"q": "tag:many"}).context["cl"]
    found = list(page.result_list)
    assert (len(found), page.newer_url) == (25, None)
    while page.older_url:
        page = client.get(address() + page.older_url).context["cl"]
        found += page.result_list
    assert [job.pk for job in found] == jobs
    back = client.get(address() + page.newer_url).context["cl"]
    assert [job.pk for job in back.result_list] == jobs[25:50]


def counts_of(client: Client, **parameters: Any) -> dict[str, str]:
    """Return the counts of the facets by value."""
    part = client.get(reverse("admin:scheduling_job_facets"), parameters)
    assert part.status_code == 200
    return {choice.value: str(choice.count) for facet in part.context["facets"] for choice in facet["choices"]}


def test_facets_are_counted_under_the_filter_after_the_page(
    console: Console, staff: User, acme: Tenant, acme_work: Work
) -> None:
    gone = submit(acme, count=2, kind="sleep", payload={"seconds": 1})
    with tenant_context(acme):
        cancel_job(job_id=gone[0].pk, reason="")
    client = console(staff)
    frame = client.get(address())
    assert all(choice.count is None for facet in frame.context["facets"] for choice in facet["choices"])
    assert [len(facet["choices"]) for facet in frame.context["facets"]][1:] == [0, 0]
    whole = counts_of(client)
    assert (whole["available"], whole["cancelled"], whole["discarded"]) == ("2", "1", "1")
    assert (whole["noop"], whole["sleep"]) == ("2", "2")
    # What no job has is not listed.
    assert not {"executing", "crash", "pipeline"} & set(whole)
    # The conditions of a field do not narrow its own facet, but the others.
    narrowed = counts_of(client, q="state:cancelled")
    assert (narrowed["available"], narrowed["cancelled"], narrowed["sleep"]) == ("2", "1", "1")
    assert "noop" not in narrowed
    by_kind = counts_of(client, q="kind:sleep")
    assert (by_kind["available"], by_kind["noop"], by_kind["sleep"]) == ("1", "2", "2")
    assert "discarded" not in by_kind
    assert counts_of(client, q=f"id:{gone[0].pk}")["sleep"] == "1"


def test_facet_link_widens_or_narrows_the_filter(console: Console, staff: User, acme_work: Work) -> None:
    page = console(staff).get(address(), {"q": "state:discarded"})
    choices = {choice.value: choice for choice in page.context["facets"][0]["choices"]}
    assert choices["discarded"].is_chosen
    assert choices["discarded"].address == address()
    assert choices["cancelled"].address == f"{address()}?q=state%3Adiscarded%2Ccancelled"


def test_facets_state_that_not_all_rows_were_counted(
    console: Console, staff: User, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduling.jobs.facets.FACET_ROWS", 2)
    submit(acme, count=3)
    client = console(staff)
    assert counts_of(client)["available"] == "2+"
    assert "counted among the newest" in words(client.get(reverse("admin:scheduling_job_facets")))
    # A rare state is read from its own small table.
    assert "noop" not in counts_of(client, q="state:discarded")


def test_new_jobs_are_counted_under_the_filter_and_polled(
    console: Console, staff: User, acme: Tenant, acme_work: Work
) -> None:
    client = console(staff)
    page = client.get(address(), {"q": "kind:noop"})
    (news,) = [html.unescape(found) for found in re.findall(r'hx-get="([^"]*news[^"]*)"', page.content.decode())]
    quiet = client.get(news)
    assert "new" not in words(quiet)
    assert is_answered_304(client, news)
    submit(acme, count=3)
    submit(acme, kind="sleep", payload={"seconds": 1})
    changed = client.get(news, headers={"If-None-Match": quiet["ETag"]})
    assert "3 new – show" in words(changed)
    assert links(changed, "kind") == [f"{address()}?q=kind%3Anoop"]
    assert client.get(reverse("admin:scheduling_job_news"), {"since": "x"}).status_code == 400


def test_older_pages_do_not_poll_for_new_jobs(console: Console, staff: User, acme_work: Work) -> None:
    page = console(staff).get(address(), {"before": str(acme_work.failed.pk)})
    assert "job-news" not in page.content.decode()


def test_job_is_shown_in_a_panel_beside_the_list(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    client = console(acme_user)
    page = client.get(address(), {"q": "kind:noop", "peek": str(acme_work.failed.pk)})
    assert [job.pk for job in page.context["cl"].result_list] == [acme_work.failed.pk, acme_work.waiting.pk]
    assert "acme broke" in words(page)
    body = reverse("admin:scheduling_job_body", args=[acme_work.failed.pk])
    assert f'data-peek="{body}"' in page.content.decode()
    for hidden in (globex_work.failed.pk, random_id()):
        assert client.get(address(), {"peek": str(hidden)}).status_code == 404


@pytest.mark.parametrize("part", ["facets", "news"])
def test_fragments_need_the_right_to_see_jobs(console: Console, outsider: User, staff: User, part: str) -> None:
    url = reverse(f"admin:scheduling_job_{part}")
    assert console(outsider).get(url, {"since": str(random_id())}).status_code in {302, 403}
    assert console(staff).post(url).status_code == 405
    assert console(staff).get(url, {"q": "stat:x", "since": str(random_id())}).status_code == 400


def test_first_response_counts_no_jobs(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        client.get(address(), {"q": "state:completed queue:default"})
    on_jobs = [sql for sql in (str(query["sql"]) for query in asked) if '"scheduling_job"' in sql]
    assert not [sql for sql in on_jobs if "COUNT(" in sql]
    assert len(on_jobs) <= 2


def test_count_of_one_is_in_the_singular(console: Console, staff: User, acme_work: Work) -> None:
    part = console(staff).get(reverse("admin:scheduling_job_body", args=[acme_work.waiting.pk])).content.decode()
    assert "1 event<" in part
    assert "1 events" not in part
