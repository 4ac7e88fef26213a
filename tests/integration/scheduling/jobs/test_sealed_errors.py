"""Sealed error texts: no table has the text of a failure in plain, and readers get it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.errors.fingerprints import fingerprint_of
from scheduling.errors.queries import describe_occurrences, group_errors
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.settlement_builders import Failure
from scheduling.execution.start import StartedExecution
from scheduling.jobs import api_reads
from scheduling.jobs.batches.queries import group_errors as group_errors_of_batch
from scheduling.jobs.batches.service import open_batch
from scheduling.jobs.dead_letters.groups import group_dead_letters
from scheduling.jobs.dead_letters.queries import describe_dead_letter
from scheduling.jobs.lifecycle import JobState
from scheduling.kit.retry import RetryPolicy
from scheduling.models import Batch, Circuit, CircuitNews, DeadLetter, Execution, Job, JobError
from scheduling.upkeep.stored_values import seal_page, sealed_models
from tenants.context import all_tenants, tenant_context
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.error_texts import BROKEN, NOT_READABLE, NOT_SEALED
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin, reload, submit
from tests.integration.scheduling.jobs.test_sealed_values import everything, master
from tests.person import client_of
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.usefixtures("no_lock_timeout", "worker")
MARKER = "an-error-used-nowhere-else"
LONG = f"{MARKER} {'x' * 700} end"


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")], CIRCUIT_FAILURES=3)
    yield
    forget_keys()


def failed(started: StartedExecution, text: str, *, is_permanent: bool = True) -> Settlement:
    try:
        raise ValueError(text)
    except ValueError as error:
        failure = Failure.of(error, is_permanent=is_permanent)
    return settlement_builders.failed(
        started.execution_id, started.fence, failure, failed_attempts=1, policy=RetryPolicy(max_retries=3)
    )


def fail_one(tenant: Tenant, tick: Tick, start: Start, text: str = MARKER, **options: Any) -> Job:
    """Submit a job whose only attempt fails with this text."""
    (job,) = submit(tenant, **options)
    tick()
    settle([failed(begin(start, job), text)])
    return reload(job)


def lose_key(change_platform_settings: ChangePlatformSettings) -> None:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])


def texts_of(job: Job) -> list[str]:
    """Return the message of the job's rows: itself, its execution, its dead letter and its error."""
    with all_tenants():
        models: tuple[Any, ...] = (Execution, DeadLetter, JobError)
        return [reload(job).error_message, *(model.objects.get(job=job).error_message for model in models)]


def test_text_of_a_failure_is_in_no_table_and_is_read(acme: Tenant, tick: Tick, start: Start) -> None:
    job = fail_one(acme, tick, start, LONG)
    assert MARKER not in everything()
    forget_keys()
    whole, of_execution, of_letter, beginning = texts_of(job)
    assert whole == of_execution == of_letter == LONG
    assert beginning == LONG[:500]
    assert job.error_fingerprint == fingerprint_of("ValueError", LONG)
    with all_tenants():
        assert f"ValueError: {MARKER}" in Execution.objects.get(job=job).traceback


def test_groups_and_occurrences_have_the_text(acme: Tenant, tick: Tick, start: Start) -> None:
    batch = open_batch(tenant=acme, label="b")[0]
    job = fail_one(acme, tick, start)
    with all_tenants():
        Job.objects.filter(pk=job.pk).update(batch_id=batch.pk)
    until = timezone.now() + timedelta(minutes=5)
    with tenant_context(acme):
        (group,) = group_errors(since=until - timedelta(hours=1), until=until).groups
        (letters,) = group_dead_letters().groups
        (of_batch,) = group_errors_of_batch(Batch.objects.get(pk=batch.pk))
        (occurrence,) = describe_occurrences(list(JobError.objects.all()), with_traceback=True)
        (attempt,) = describe_dead_letter(DeadLetter.objects.get()).attempts
    assert [group.message, letters.message, of_batch.message] == [MARKER] * 3
    assert MARKER in letters.pattern
    assert MARKER in occurrence.traceback
    assert attempt.fingerprint == job.error_fingerprint == group.fingerprint


def test_merged_jobs_of_two_tenants_fail_sealed(acme: Tenant, globex: Tenant, tick: Tick, start: Start) -> None:
    jobs = [*submit(acme), *submit(globex)]
    tick()
    settle([failed(begin(start, job), f"{MARKER} {job.pk}") for job in jobs])
    assert MARKER not in everything()
    for job in jobs:
        assert texts_of(job) == [f"{MARKER} {job.pk}"] * 4


def test_breaker_has_the_last_text_of_its_tenant(acme: Tenant, tick: Tick, start: Start) -> None:
    for number in range(3):
        (job,) = submit(acme)
        tick()
        settle([failed(begin(start, job), f"{MARKER} {number}", is_permanent=False)])
        with all_tenants():
            assert CircuitNews.objects.get().error_message == f"{MARKER} {number}"
        tick()
    assert MARKER not in everything()
    with all_tenants():
        circuit = Circuit.objects.get()
    assert (circuit.state, circuit.error_message, circuit.error_job_id) == ("open", f"{MARKER} 2", job.pk)


def test_moved_text_does_not_open(acme: Tenant, globex: Tenant, tick: Tick, start: Start) -> None:
    first, second = (fail_one(acme, tick, start, f"{MARKER} {number}") for number in range(2))
    of_globex = fail_one(globex, tick, start)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduling_job SET error_message = (SELECT error_message FROM scheduling_job WHERE id = %s)"
            " WHERE id = ANY(%s)",
            [first.pk, [second.pk, of_globex.pk]],
        )
        # A traceback is no message.
        cursor.execute("UPDATE scheduling_execution SET error_message = traceback WHERE job_id = %s", [first.pk])
    assert reload(second).error_message == BROKEN
    assert reload(of_globex).error_message == NOT_READABLE
    assert texts_of(first)[1] == BROKEN


def test_failure_without_the_key_is_settled_without_its_text(
    acme: Tenant, tick: Tick, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    (job,) = submit(acme)
    tick()
    started = begin(start, job)
    lose_key(change_platform_settings)
    settle([failed(started, MARKER)])
    dead = reload(job)
    assert (dead.state, dead.error_type) == (JobState.DISCARDED, "ValueError")
    assert texts_of(job) == [NOT_SEALED] * 4
    assert dead.error_fingerprint == fingerprint_of("ValueError", MARKER)
    assert MARKER not in everything()


def test_interfaces_show_the_text_or_that_the_key_is_missing(
    acme: Tenant,
    acme_user: User,
    staff: User,
    client: Client,
    tick: Tick,
    start: Start,
    api_client: Callable[[Tenant], APIClient],
    change_platform_settings: ChangePlatformSettings,
) -> None:
    job = fail_one(acme, tick, start)
    client.force_login(staff)
    person = client_of(acme_user)
    with all_tenants():
        execution = Execution.objects.get(job=job)
    pages = [
        reverse("admin:scheduling_job_change", args=[job.pk]),
        reverse("admin:scheduling_deadletter_changelist"),
    ]
    lists = [
        f"/api/v1/jobs/{job.pk}/",
        f"/api/v1/jobs/{job.pk}/executions/",
        f"/api/v1/executions/{execution.pk}/",
        "/api/v1/dead-letters/",
        "/api/v1/errors/",
    ]

    def without(text: str) -> list[str]:
        answers = {page: client.get(page) for page in pages} | {path: person.get(path) for path in lists}
        assert {answer.status_code for answer in answers.values()} == {200}
        return [address for address, answer in answers.items() if text not in answer.content.decode()]

    assert without(MARKER) == []
    lose_key(change_platform_settings)
    api_reads.clear()
    assert without(NOT_READABLE) == []
    # No client keeps that answer.
    assert "ETag" not in person.get(lists[0]).headers


def test_row_that_is_saved_without_the_key_keeps_its_text(
    acme: Tenant, tick: Tick, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    job = fail_one(acme, tick, start)
    lose_key(change_platform_settings)
    with tenant_context(acme):
        stored = Job.objects.get(pk=job.pk)
        assert stored.error_message == NOT_READABLE
        stored.save(update_fields=["error_message"])
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    assert reload(job).error_message == MARKER


def test_old_texts_are_sealed_by_the_command_and_not_without_the_key(
    acme: Tenant, tick: Tick, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    job = fail_one(acme, tick, start)
    assert MARKER in everything()
    lose_key(change_platform_settings)
    with pytest.raises(DataKeyUnavailableError):
        seal_page(DeadLetter)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    counts = {model.__name__: seal_page(model).sealed for model in sealed_models()}
    assert {name for name, count in counts.items() if count} == {"Job", "DeadLetter", "Execution", "JobError"}
    with all_tenants():
        CircuitNews.objects.all().delete()
    assert MARKER not in everything()
    assert texts_of(job) == [MARKER] * 4


def test_reason_of_a_refused_completion_job_is_sealed(acme: Tenant) -> None:
    batch = open_batch(tenant=acme, label="b")[0]
    with tenant_context(acme):
        batch.fire_error = f"refused: {MARKER}"
        batch.save()
        assert Batch.objects.get(pk=batch.pk).fire_error == f"refused: {MARKER}"
    assert MARKER not in everything()
