"""Output that a job streams: events in order, readable while it runs, limited, and begun again by a restart."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from scheduling.execution import output
from scheduling.execution.logs.queries import read_log
from scheduling.jobs import submission
from scheduling.jobs.history import events_of
from scheduling.jobs.output import read_output
from scheduling.kit.base import AsyncJobContext, Interrupted, JobContext, Yielded
from scheduling.models import Job, JobEvent
from scheduling.streams import api
from scheduling.streams.event_feed import FeedPosition
from scheduling.streams.feed import EventFeed
from scheduling.streams.subscriptions import StreamSubscription
from scheduling.upkeep.retention.jobs import prune_finished_jobs
from scheduling.upkeep.retention.rules import Cutoffs
from tenants.access.memberships import add_member
from tenants.access.people import grant_platform_role
from tenants.access.permissions import Permission
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7, uuid7_floor
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import SealedJSONField
from tenants.models import Role, Tenant
from tests.acceptance.processes import eventually
from tests.checks import faults_of
from tests.integration.scheduling.job_helpers import reload, submit
from tests.integration.scheduling.worker.conftest import Run, RunMerged, raising
from tests.integration.streams.sessions import wait_for_older_transactions
from tests.integration.streams.test_event_feed import Listener
from tests.person import client_of
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)

type Follow = Callable[..., None]


def rows_of(job: Job) -> list[dict[str, Any]]:
    """Return the data of the job's output events."""
    with tenant_context(job.tenant_id):
        return [event.data for event in JobEvent.objects.filter(job_id=job.pk, name="job.output").order_by("id")]


def rows_elsewhere(job: Job) -> list[dict[str, Any]]:
    """Return the data of the job's output events as another connection sees them."""
    found: list[dict[str, Any]] = []

    def read() -> None:
        found.extend(rows_of(job))
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    reader.join()
    return found


def streamed(listener: Listener) -> list[tuple[str, Any]]:
    """Return the names of the events that a client received, with the data of outputs."""
    events = [json.loads(message.decode().split("data: ")[1]) for message in listener.received]
    return [(each["name"], each["data"] if each["name"] == "job.output" else None) for each in events if "name" in each]


def test_output_is_readable_while_the_job_runs(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        with transaction.atomic():
            context.stream("answer", "to be")
            eventually(
                lambda: rows_elsewhere(job) == [{"stream": "answer", "text": "to be"}], what="the output is seen"
            )

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    assert run(job).state == "completed"


@pytest.mark.parametrize(
    "end", [lambda *_: None, lambda *_: Yielded({}), raising(ValueError("no")), raising(Interrupted("shutdown"))]
)
def test_output_is_whole_before_the_execution_is_settled(
    acme: Tenant, run: Run, set_processor: Follow, kind: str, end: Callable[[], object]
) -> None:
    def process(context: JobContext | AsyncJobContext) -> object:
        for word in ("to ", "be ", "or not"):
            context.stream("answer", word)
        context.stream("log", "é\0")
        return end()

    (job,) = submit(acme, kind=kind)
    set_processor(process)
    run(job)
    assert rows_of(job) == [
        {"stream": "answer", "text": "to be or not"},
        {"stream": "log", "text": "é\N{REPLACEMENT CHARACTER}"},
    ]
    assert faults_of("history") == []
    with tenant_context(acme):
        assert "job.output" not in events_of(job).values_list("name", flat=True)
        last = JobEvent.objects.filter(job_id=job.pk).order_by("-id")[0]
    assert last.name.startswith("execution.")


def test_merged_jobs_have_their_own_output(acme: Tenant, run_merged: RunMerged, set_processor: Follow) -> None:
    jobs = submit(acme, 3, kind="scripted")
    set_processor(lambda context: context.stream("id", str(context.job_id)))
    run_merged(jobs)
    assert [rows_of(job) for job in jobs] == [[{"stream": "id", "text": str(job.pk)}] for job in jobs]


def test_long_text_is_split_between_characters(acme: Tenant, run: Run, set_processor: Follow) -> None:
    text = "€" * 3_000
    (job,) = submit(acme, kind="scripted")
    set_processor(lambda context: context.stream("answer", text))
    run(job)
    parts = [row["text"] for row in rows_of(job)]
    assert "".join(parts) == text
    assert [len(part.encode()) for part in parts] == [4_095, 4_095, 810]


def test_later_execution_begins_its_outputs_again(acme: Tenant, run: Run, set_processor: Follow) -> None:
    (job,) = submit(acme, kind="scripted")

    def process(context: JobContext) -> object:
        if not context.state:
            context.stream("answer", "to be")
            context.stream("kept", "x")
            return Yielded({"step": 1})
        context.stream("answer", "or not")
        context.stream("answer", " to be")
        return None

    set_processor(process)
    run(job)
    assert run(job).state == "completed"
    assert rows_of(job)[2:] == [{"stream": "answer", "restarted": True, "text": "or not to be"}]
    with tenant_context(acme):
        assert [(each.name, each.text) for each in read_output(job)] == [("answer", "or not to be"), ("kept", "x")]


def test_processor_begins_an_output_again(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        context.stream("answer", "to be")
        context.stream("answer", "", restart=True)
        context.stream("answer", "or not")

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    run(job)
    assert rows_of(job) == [{"stream": "answer", "restarted": True, "text": "or not"}]


@pytest.mark.parametrize("limit", ["MAX_OUTPUT_ROWS", "MAX_OUTPUT_BYTES"])
def test_output_beyond_the_limit_is_cut(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(output, limit, {"MAX_OUTPUT_ROWS": 2, "MAX_OUTPUT_BYTES": 10_000}[limit])

    def process(context: JobContext) -> object:
        for _ in range(5):
            context.stream("answer", "x" * 4_096)
        return None if context.state else Yielded({"step": 1})

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    run(job)
    whole, cut = rows_of(job)[:2], {"stream": "answer", "is_cut": True}
    assert [len(row["text"]) for row in whole] == [4_096, 4_096]
    assert rows_of(job)[2:] == [cut]
    run(job)
    assert rows_of(job)[3:] == [cut | {"restarted": True}]
    with tenant_context(acme):
        assert [(each.text, each.is_cut) for each in read_output(job)] == [("", True)]


def test_limit_and_pruning_reach_output_of_a_worker_whose_clock_is_behind(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MAX_OUTPUT_ROWS", 2)
    # The clock of the web process that makes the job's id is an hour ahead.
    ahead = uuid7_floor(timezone.now() + timedelta(hours=1))
    monkeypatch.setattr(submission, "uuid7", lambda: ahead)

    def process(context: JobContext) -> object:
        context.stream("answer", "x" * 4_096)
        return None if context.state.get("step") == 3 else Yielded({"step": context.state.get("step", 0) + 1})

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    for _ in range(4):
        run(job)
    assert [row.get("is_cut", False) for row in rows_of(job)] == [False, False, True, True]
    ended_at = reload(job).finished_at
    assert ended_at is not None
    assert prune_finished_jobs(Cutoffs([acme.pk], [ended_at + timedelta(hours=2)]), limit=10).jobs == 1
    assert rows_of(job) == []


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_invalid_name_fails_the_attempt(acme: Tenant, run: Run, set_processor: Follow, name: str) -> None:
    (job,) = submit(acme, kind="scripted")
    set_processor(lambda context: context.stream(name, "x"))
    assert run(job).error_type == "ValueError"


@pytest.mark.parametrize("failures", [1, 99])
def test_output_that_cannot_be_sealed_is_written_later_or_named_in_the_log(
    acme: Tenant, run: Run, set_processor: Follow, kind: str, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    stored, left = SealedJSONField.stored, [failures]

    def fail(field: SealedJSONField, value: Any, **options: Any) -> Any:
        if isinstance(value, dict) and "stream" in value and left[0]:
            left[0] -= 1
            raise DataKeyUnavailableError("gone")
        return stored(field, value, **options)

    async def process(context: JobContext | AsyncJobContext) -> None:
        context.stream("answer", "one ")
        if isinstance(context, AsyncJobContext):
            async with asyncio.timeout(20):
                while left[0] == failures:  # noqa: ASYNC110 - a thread makes it true
                    await asyncio.sleep(0.01)
        else:
            eventually(lambda: left[0] < failures)
        context.stream("answer", "two")

    monkeypatch.setattr(SealedJSONField, "stored", fail)
    (job,) = submit(acme, kind=kind)
    set_processor(process)
    assert run(job).state == "completed"
    with tenant_context(acme):
        lines = [(line.message, line.fields) for line in read_log(job, limit=5).lines]
    texts = "".join(row["text"] for row in rows_of(job))
    lost = ("", [("output was lost", {"characters": 7})])
    assert (texts, lines) == (("one two", []) if failures == 1 else lost)


def test_output_that_cannot_be_sealed_is_limited(
    acme: Tenant, run: Run, set_processor: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MAX_OUTPUT_BYTES", 100)
    stored, failures = SealedJSONField.stored, list[int]()

    def fail(field: SealedJSONField, value: Any, **options: Any) -> Any:
        if isinstance(value, dict) and "stream" in value:
            failures.append(1)
            raise DataKeyUnavailableError("gone")
        return stored(field, value, **options)

    def process(context: JobContext) -> None:
        for _ in range(3):
            failures.clear()
            context.stream("answer", "x" * 60)
            eventually(lambda: failures, what="a write of the output")

    monkeypatch.setattr(SealedJSONField, "stored", fail)
    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    assert run(job).state == "completed"
    with tenant_context(acme):
        assert [line.fields for line in read_log(job, limit=5).lines] == [{"characters": 101}]


def test_output_of_a_lost_job_is_not_written(acme: Tenant, run: Run, set_processor: Follow) -> None:
    def process(context: JobContext) -> None:
        context.stream("answer", "to be")
        with all_tenants():
            Job.objects.filter(pk=context.job_id).update(fence=context.fencing_token + 1)

    (job,) = submit(acme, kind="scripted")
    set_processor(process)
    run(job)
    assert rows_of(job) == []


def test_stream_of_the_job_has_its_output_for_those_who_may_read_results(
    acme: Tenant, run: Run, set_processor: Follow
) -> None:
    (job,) = submit(acme, kind="scripted")
    feed = EventFeed()
    reader = Listener(acme, job_id=job.pk, reads_output=True)
    others = Listener(acme, job_id=job.pk), Listener(acme)
    wait_for_older_transactions()
    feed.look([reader, *others])
    set_processor(lambda context: context.stream("answer", "to be"))
    run(job)
    wait_for_older_transactions()
    feed.look([reader, *others])
    names = ["job.submitted", "job.dispatched", "execution.started", "job.output", "execution.completed"]
    assert [name for name, _ in streamed(reader)] == names
    assert streamed(reader)[3] == ("job.output", {"stream": "answer", "text": "to be"})
    for other in others:
        assert "job.output" not in [name for name, _ in streamed(other)]
    # A client that reconnects resumes, and one of the ended job reads it all.
    place = reader.received[-3].decode().split("\n")[0].removeprefix("id: ")
    again = Listener(acme, FeedPosition.parse(place), job_id=job.pk, has_ended=True, reads_output=True)
    EventFeed().look([again])
    assert [name for name, _ in streamed(again)] == ["execution.completed"]


def test_output_is_pruned_with_its_job(acme: Tenant, run: Run, set_processor: Follow) -> None:
    (job,) = submit(acme, kind="scripted")
    set_processor(lambda context: context.stream("answer", "to be"))
    run(job)
    ended_at = reload(job).finished_at
    assert ended_at is not None
    assert prune_finished_jobs(Cutoffs([acme.pk], [ended_at + timedelta(minutes=1)]), limit=10).jobs == 1
    with all_tenants():
        names = set(JobEvent.objects.filter(job_id=job.pk).values_list("name", flat=True))
    assert "job.output" not in names
    assert "execution.completed" in names


def test_output_is_encrypted_and_bound_to_its_event(
    acme: Tenant, run: Run, set_processor: Follow, change_platform_settings: ChangePlatformSettings
) -> None:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[base64.b64encode(b"o" * 32).decode()])
    (job,) = submit(acme, kind="scripted")
    set_processor(lambda context: context.stream("answer", "to be"))
    run(job)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT data::text FROM scheduling_jobevent WHERE name = 'job.output'")
        ((stored,),) = cursor.fetchall()
    assert "$sealed" in stored
    assert rows_of(job) == [{"stream": "answer", "text": "to be"}]
    wait_for_older_transactions()
    reader = Listener(acme, job_id=job.pk, has_ended=True, reads_output=True)
    forget_keys()
    EventFeed().look([reader])
    assert ("job.output", {"stream": "answer", "text": "to be"}) in streamed(reader)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_jobevent SET id = %s WHERE name = 'job.output'", [uuid7()])
    with tenant_context(acme):
        assert [each.unreadable for each in read_output(job)] == ["sealed_value_broken"]
    forget_keys()


@pytest.mark.parametrize(("role", "is_shown"), [(Role.DEVELOPER, True), (Role.VIEWER, False)])
def test_job_page_shows_output_to_those_who_may_read_results(
    acme: Tenant, run: Run, set_processor: Follow, role: Role, is_shown: bool
) -> None:
    (job,) = submit(acme, kind="scripted")
    set_processor(lambda context: context.stream("answer", "a <word> of output"))
    run(job)
    user = User.objects.create_user("ada", password="x")
    add_member(tenant=acme, user=user, role=role)
    client = client_of(user)
    page = client.get(reverse("admin:scheduling_job_change", args=[job.pk])).content.decode()
    assert ("a &lt;word&gt; of output" in page) is is_shown
    events = client.get(reverse("admin:scheduling_jobevent_changelist")).content.decode()
    assert "job.output" not in events
    assert "execution.completed" in events


@pytest.mark.parametrize(("role", "reads"), [(Role.DEVELOPER, True), (Role.VIEWER, False), (None, False)])
def test_stream_of_the_api_has_output_for_members_who_may_read_results(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, role: Role | None, reads: bool
) -> None:
    opened: list[StreamSubscription] = []

    def respond(feed: EventFeed, subscription: StreamSubscription) -> HttpResponse:
        opened.append(subscription)
        return HttpResponse()

    monkeypatch.setattr(api, "require_streams", lambda request: None)
    monkeypatch.setattr(api, "stream_response", respond)
    (job,) = submit(acme)
    user = User.objects.create_user("ada", password="x")
    if role is None:
        grant_platform_role(user=user, role="admin")
    else:
        add_member(tenant=acme, user=user, role=role)
    assert client_of(user).get(f"/api/v1/jobs/{job.pk}/stream/").status_code == 200
    assert opened[0].reads_output is reads
    assert (Permission.JOBS_RESULTS in opened[0].permissions) is reads
