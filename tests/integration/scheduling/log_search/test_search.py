"""Search of log lines: by words, phrases and fields, in segments and in lines that are not indexed yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.correlation.queries import RequestTimeMissingError
from scheduling.jobs.filters import parse
from scheduling.log_search import job_filter, segments
from scheduling.log_search.job_filter import LogFilterTooBroadError, LogsNotReadableError
from scheduling.log_search.query import LogSearchInvalidError, LogSearchSealedError, parse_query
from scheduling.log_search.search import FoundLines, add_requests, lines_around, search_lines, summarize_lines
from scheduling.log_search.segments import add_late_lines, index_lines, remove_empty_segments
from scheduling.models import Job, JobLog, JobLogTally, LogSegment, LogVolume, SavedView
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.database.ids import uuid7_floor
from tenants.encryption.fields import is_sealing
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.log_search.conftest import Log
from tests.polled import is_answered_304

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
Index = Callable[[], int]


def find(tenant: Tenant | None, text: str, **options: object) -> FoundLines:
    query = parse_query(text, is_sealed=is_sealing())
    with all_tenants() if tenant is None else tenant_context(tenant):
        return search_lines(query, **options)  # type: ignore[arg-type]


def messages(tenant: Tenant | None, text: str, **options: object) -> list[str]:
    return [line.message for line in find(tenant, text, **options).lines]


@pytest.mark.parametrize("is_indexed", [True, False])
def test_lines_are_found_by_words_phrases_and_fields(acme: Tenant, log: Log, index: Index, *, is_indexed: bool) -> None:
    (job,), (other,) = submit(acme), submit(acme, kind="sleep", payload={"seconds": 0})
    log(job, "connection reset by peer", "read timeouts", host="db-1")
    log(other, "peer connected", level="error")
    if is_indexed:
        assert index() == 3
    assert messages(acme, "peer") == ["peer connected", "connection reset by peer"]
    assert messages(acme, '"reset by"') == ["connection reset by peer"]
    assert messages(acme, "timeo*") == ["read timeouts"]
    assert messages(acme, "peer -reset") == ["peer connected"]
    assert messages(acme, "db") == ["read timeouts", "connection reset by peer"]
    assert messages(acme, "kind:sleep") == ["peer connected"]
    assert messages(acme, "kind:noop,sleep level:error") == ["peer connected"]
    assert messages(acme, f"job:{job.pk} peer") == ["connection reset by peer"]
    assert messages(acme, "queue:nowhere") == []
    assert messages(acme, "absent") == []


def test_pages_continue_without_gap_or_repetition(acme: Tenant, log: Log, index: Index) -> None:
    (job,) = submit(acme)
    log(job, *(f"line {n}" for n in range(30)))
    index()
    log(job, *(f"line {n}" for n in range(30, 40)))
    seen: list[str] = []
    before = None
    while True:
        page = find(acme, "line", before=before, limit=7)
        seen += [line.message for line in page.lines]
        before = page.before
        if before is None:
            break
    assert seen == [f"line {n}" for n in reversed(range(40))]


def test_full_segments_follow_each_other(acme: Tenant, log: Log, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_LINES", 10)
    (job,) = submit(acme)
    for turn in range(5):
        log(job, *(f"turn{turn} line{n}" for n in range(7)))
        index()
    with all_tenants():
        rows = list(LogSegment.objects.order_by("last_id"))
        assert sum(row.lines for row in rows) == 35
        assert [row.after_id for row in rows[1:]] == [row.last_id for row in rows[:-1]]
    assert len(rows) == 4
    assert messages(acme, "turn2") == [f"turn2 line{n}" for n in reversed(range(7))]
    assert len(messages(acme, "line3")) == 5


def test_filter_is_stored_in_its_row_and_tested_by_postgresql(acme: Tenant, log: Log, index: Index) -> None:
    (job,) = submit(acme)
    log(job, "seldom")
    index()
    with all_tenants():
        (segment,) = LogSegment.objects.all()
    assert len(segment.filter) == 1_792
    assert find(acme, "seldom").lines
    assert not find(acme, "never").lines


def test_lines_of_other_tenants_are_never_found(acme: Tenant, globex: Tenant, log: Log, index: Index) -> None:
    (mine,), (theirs,) = submit(acme), submit(globex)
    log(mine, "shared word")
    log(theirs, "shared word")
    index()
    log(theirs, "shared word again")
    assert {line.tenant_id for line in find(acme, "shared").lines} == {acme.pk}
    assert messages(acme, "shared tenant:globex") == []
    assert messages(acme, f"job:{theirs.pk}") == []
    assert {line.slug for line in find(None, "shared").lines} == {"acme", "globex"}
    assert {line.slug for line in find(None, "shared tenant:globex").lines} == {"globex"}
    foreign = find(globex, "shared").lines[0]
    with tenant_context(acme):
        assert lines_around(foreign.id) == []
        assert list(LogSegment.objects.exclude(tenant=acme)) == []
    ids = [line.id for line in find(None, "shared").lines]
    assert ids == sorted(ids, reverse=True)


def test_young_lines_are_not_indexed_and_still_found(acme: Tenant, log: Log) -> None:
    (job,) = submit(acme)
    log(job, "fresh")
    assert index_lines() == 0
    assert messages(acme, "fresh") == ["fresh"]
    assert messages(acme, "fresh", after=find(acme, "fresh").lines[0].id) == []


def test_late_line_is_found_after_the_check(acme: Tenant, log: Log, index: Index) -> None:
    (job,) = submit(acme)
    log(job, "first", "cut_off", "last")
    with all_tenants():
        (late,) = JobLog.objects.filter(message="cut_off")
        JobLog.objects.filter(pk=late.pk).delete()
    index()
    with all_tenants():
        late.save(force_insert=True)
    assert messages(acme, "cut_off") == []
    assert add_late_lines() == 1
    assert messages(acme, "cut_off") == ["cut_off"]
    assert add_late_lines() == 0


def test_failed_turn_indexes_no_line_twice(
    acme: Tenant, log: Log, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(acme)
    log(job, "once")

    def die(statement: str, values: object) -> int:
        raise RuntimeError("killed before the commit")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(segments, "execute", die)
        index()
    with all_tenants():
        assert not LogSegment.objects.exists()
    assert index() == 1
    assert index() == 0
    with all_tenants():
        assert LogSegment.objects.get().lines == 1


def test_summary_counts_by_time_and_facet(acme: Tenant, log: Log, index: Index) -> None:
    (job,) = submit(acme)
    log(job, "a", "b", "c")
    index()
    log(job, "d", level="error")
    with tenant_context(acme):
        found = summarize_lines(parse_query("", is_sealed=False))
        some = summarize_lines(parse_query("a", is_sealed=False))
    assert sum(found.parts) == 4
    assert found.facets["level"] == {"info": 3, "error": 1}
    assert found.facets["kind"] == {"noop": 4}
    assert (sum(some.parts), some.is_estimated) == (1, True)


@pytest.mark.parametrize("is_indexed", [True, False])
def test_lines_are_found_by_the_template_of_their_job(
    acme: Tenant, log: Log, index: Index, *, is_indexed: bool
) -> None:
    daily, other = submit(acme, 2)
    with tenant_context(acme):
        Job.objects.filter(pk=daily.pk).update(meta={"template": "daily@3"})
    log(daily, "of the template")
    log(other, "of none")
    if is_indexed:
        index()
    assert messages(acme, "template:daily") == ["of the template"]
    assert messages(acme, "template:dai") == []
    with tenant_context(acme):
        assert summarize_lines(parse_query("", is_sealed=False)).facets["template"] == {"daily": 1}


def test_facet_of_tenants_is_for_those_who_see_several(acme: Tenant, globex: Tenant, log: Log) -> None:
    for (job,) in (submit(acme), submit(globex)):
        log(job, "shared")
    query = parse_query("", is_sealed=False)
    with all_tenants():
        assert summarize_lines(query).facets["tenant"] == {"acme": 1, "globex": 1}
    with tenant_context(acme):
        assert "tenant" not in summarize_lines(query).facets


def test_lines_are_found_by_the_request_and_lead_to_it(acme: Tenant, globex: Tenant, log: Log) -> None:
    with acting_as(Actor(kind="user", id="7", label="alice", request_id="request-7")):
        (job,) = submit(acme)
    (other,) = submit(acme)
    log(job, "of the request")
    log(other, "of none")
    now = timezone.now()
    query = parse_query("request:request-7", is_sealed=False)
    with tenant_context(acme):
        found = search_lines(query.between(now - timedelta(minutes=30), None)).lines
        every = search_lines(parse_query("", is_sealed=False)).lines
        add_requests(every)
    assert [line.message for line in found] == ["of the request"]
    assert [line.request for line in every] == ["", "request-7"]
    with tenant_context(globex):
        assert not search_lines(query.between(now - timedelta(minutes=30), None)).lines
        with pytest.raises(RequestTimeMissingError):
            search_lines(query)


def test_range_limits_the_lines(acme: Tenant, log: Log) -> None:
    (job,) = submit(acme)
    log(job, "now")
    now = timezone.now()
    query = parse_query("now", is_sealed=False)
    with tenant_context(acme):
        assert search_lines(query.between(now - timedelta(minutes=1), None)).lines
        assert not search_lines(query.between(now + timedelta(minutes=1), None)).lines
        assert not search_lines(query.between(None, now - timedelta(minutes=1))).lines


def test_job_filter_finds_jobs_by_their_log(acme: Tenant, globex: Tenant, log: Log, index: Index) -> None:
    (job, other), (foreign,) = submit(acme, 2), submit(globex)
    log(job, "connection reset by peer")
    log(foreign, "connection reset by peer")
    index()
    log(other, "connection refused")

    def jobs(text: str) -> set[object]:
        with tenant_context(acme):
            return set(parse(text).apply(Job.objects.all(), now=timezone.now()).values_list("pk", flat=True))

    assert jobs('log:"connection reset"') == {job.pk}
    assert jobs("log:connection -log:refused") == {job.pk}
    assert jobs("log:reset,refused") == {job.pk, other.pk}
    assert parse('log:"connection reset"').text == 'log:"connection reset"'


def test_job_filter_by_log_is_refused_if_it_cannot_find_all(
    acme: Tenant, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_filter, "MAX_LINES", 2)
    (job,) = submit(acme)
    log(job, "often", "often", "often")
    with tenant_context(acme), pytest.raises(LogFilterTooBroadError):
        list(parse("log:often").apply(Job.objects.all(), now=timezone.now()))
    blind = Actor(kind="user", id="7", label="bob", may_read_logs=False)
    with tenant_context(acme), acting_as(blind), pytest.raises(LogsNotReadableError):
        list(parse("log:seldom").apply(Job.objects.all(), now=timezone.now()))


def test_encrypted_lines_are_found_by_whole_words_only(acme: Tenant, sealing: None, log: Log, index: Index) -> None:
    (job,) = submit(acme)
    log(job, "marmalade spilled", place="kitchen")
    index()
    log(job, "marmalade again")
    with all_tenants():
        for row in JobLog.objects.values("message", "fields", "sealed"):
            assert "marmalade" not in str(row)
            assert row["message"] == ""
        assert LogSegment.objects.get().is_keyed
    assert messages(acme, "marmalade") == ["marmalade again", "marmalade spilled"]
    assert messages(acme, "kitchen") == ["marmalade spilled"]
    with pytest.raises(LogSearchSealedError):
        find(acme, '"marmalade spilled"')
    with pytest.raises(LogSearchInvalidError):
        find(None, "marmalade")
    assert messages(None, "marmalade tenant:acme") == ["marmalade again", "marmalade spilled"]


def test_api_searches_summarizes_and_shows_the_lines_around(
    api_client: Callable[[Tenant], APIClient], acme: Tenant, globex: Tenant, log: Log, index: Index
) -> None:
    acme_api = api_client(acme)
    (job,), (foreign,) = submit(acme), submit(globex)
    log(job, "one", "two", "three")
    log(foreign, "two")
    index()
    page = acme_api.get("/api/v1/logs/?q=two").json()
    (line,) = page["results"]
    assert (line["message"], line["job"], line["kind"], line["tenant"]) == ("two", str(job.pk), "noop", "acme")
    assert page["next"] is None
    around = acme_api.get(f"/api/v1/logs/{line['id']}/around/").json()["results"]
    assert [each["message"] for each in around] == ["one", "two", "three"]
    summary = acme_api.get("/api/v1/logs/summary/?q=two").json()
    assert summary["facets"]["kind"] == {"noop": 1}
    assert acme_api.get("/api/v1/logs/?q=level:loud").status_code == 400
    theirs = find(globex, "two").lines[0]
    assert acme_api.get(f"/api/v1/logs/{theirs.id}/around/").status_code == 404


def test_page_shows_lines_follows_them_and_narrows(
    client: Client, acme_user: User, acme: Tenant, globex: Tenant, log: Log, index: Index
) -> None:
    client.force_login(acme_user)
    (job,), (foreign,) = submit(acme), submit(globex)
    log(job, "disk <full>")
    log(foreign, "disk of globex")
    index()
    page = client.get("/admin/logs/", {"q": "disk"}).content.decode()
    assert "disk &lt;full&gt;" in page
    assert "globex" not in page
    assert "data-live" not in page.split('id="log-lines"')[1].split(">")[0]
    followed = client.get("/admin/logs/", {"q": "disk", "tail": "1"}).content.decode()
    assert "/admin/logs/lines/?q=disk" in followed
    assert is_answered_304(client, "/admin/logs/lines/", {"q": "disk"})
    numbers = client.get("/admin/logs/summary/", {"q": "disk"}).content.decode()
    assert "kind%3Anoop" in numbers
    of_tenant = client.get(f"/admin/tenants/tenant/{acme.pk}/change/").content.decode()
    assert "/admin/logs/?q=tenant:acme" in of_tenant
    line = find(acme, "disk").lines[0]
    assert "disk &lt;full&gt;" in client.get("/admin/logs/", {"around": str(line.id)}).content.decode()
    assert "character" in client.get("/admin/logs/", {"q": '"open'}).content.decode()


def test_command_prints_matching_lines(acme: Tenant, globex: Tenant, log: Log) -> None:
    (job,), (foreign,) = submit(acme), submit(globex)
    log(job, "hello world")
    log(foreign, "hello world")
    out = StringIO()
    call_command("search_logs", "hello", "--tenant", "acme", stdout=out)
    (line,) = out.getvalue().splitlines()
    assert line.startswith(f"acme {job.pk}")
    out = StringIO()
    call_command("search_logs", "hello", "--json", stdout=out)
    assert len(out.getvalue().splitlines()) == 2


def test_volume_of_the_day_keeps_errors_only(acme: Tenant, globex: Tenant, log: Log, index: Index) -> None:
    (job,), (foreign,) = submit(acme), submit(globex)
    log(job, "before")
    index()
    with all_tenants():
        volume = LogVolume.objects.get(tenant=acme)
        assert volume.allowed == 1 << 30
        assert volume.bytes > 64
        LogVolume.objects.filter(tenant=acme).update(allowed=volume.bytes)
    log(job, "dropped", "dropped too")
    log(job, "kept", level="error")
    log(foreign, "of another tenant")
    assert messages(acme, "") == ["kept", "before"]
    assert messages(globex, "") == ["of another tenant"]
    with all_tenants():
        assert JobLogTally.objects.get(job_id=job.pk).dropped_lines == 2


def test_index_of_removed_lines_is_removed(acme: Tenant, log: Log, index: Index) -> None:
    (job,) = submit(acme)
    log(job, "gone")
    index()
    with all_tenants():
        JobLog.objects.all().delete()
        assert remove_empty_segments(limit=10) == 0
        old = uuid7_floor(timezone.now() - timedelta(days=10))
        LogSegment.objects.update(last_id=old)
    assert remove_empty_segments(limit=10) == 1


def test_search_is_saved_under_a_name(client: Client, acme_user: User, acme: Tenant) -> None:
    client.force_login(acme_user)
    saved = client.post(
        "/admin/scheduling/job/views/", {"place": "logs", "name": "resets", "q": '"connection reset" level:error'}
    )
    assert saved.status_code == 302
    assert "resets" in client.get("/admin/logs/").content.decode()
    assert "resets" not in client.get("/admin/scheduling/job/").content.decode()
    with tenant_context(acme):
        view = SavedView.objects.get()
        assert (view.place, view.query) == ("logs", '"connection reset" level:error')
