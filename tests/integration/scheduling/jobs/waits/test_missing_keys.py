"""Missing data keys: a job waits with its reason, is reported, ends by rule, and runs once the key is there."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from django.db import connection

from scheduling.diagnosis.checks import Health, check_flow
from scheduling.execution import policy
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.models import Job, JobEvent
from tenants.context import all_tenants, tenant_context
from tenants.encryption.data_keys import forget_keys
from tenants.models import Tenant, TenantDataKey
from tests.integration.scheduling.job_helpers import Start, Tick, begin, reload, submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
PAYLOAD = {"iban": "a-word-used-nowhere-else"}


def master(fill: str) -> str:
    return base64.b64encode(fill.encode() * 32).decode()


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    yield
    forget_keys()


def meet_missing_key(job: Job, tick: Tick, start: Start) -> JobEvent:
    """Dispatch the job, which then finds its key missing."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job_due SET due_at = now()")
    tick()
    tick()
    started = begin(start, job)
    assert started.unreadable is not None
    settle([policy.unreadable_of(started, started.unreadable)])
    with all_tenants():
        event = JobEvent.objects.filter(job=job).order_by("-id").first()
    assert event is not None
    return event


def age_events(job: Job, hours: float) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduling_jobevent SET at = at - make_interval(secs => %s) WHERE job_id = %s",
            [3_600 * hours, job.pk],
        )


def test_job_without_its_key_waits_longer_each_time(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    waits = [meet_missing_key(job, tick, start).data["seconds"] for _ in range(6)]
    assert waits == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    assert reload(job).attempt == 0


def test_missing_key_is_a_waiting_reason_and_a_finding(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    first = meet_missing_key(job, tick, start)
    meet_missing_key(job, tick, start)
    with tenant_context(acme):
        explanation = why_waiting(reload(job))
    assert explanation is not None
    assert explanation.start is None
    reason = explanation.reasons[0]
    assert (reason.code, reason.until) == ("data_key_missing", None)
    assert first.at.isoformat(timespec="seconds").replace("+00:00", "Z") in reason.detail
    with all_tenants():
        key = TenantDataKey.objects.get(tenant=acme)
    check = next(check for check in check_flow() if check.name == "data keys")
    assert (check.state, check.measured) == (Health.FAILURE, f"1 jobs of acme wait for data key {key.pk}")
    # With the key it runs again, and the finding is gone.
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b"), master("a")])
    forget_keys()
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_job_due SET due_at = now()")
    tick()
    tick()
    assert begin(start, job).unreadable is None
    check = next(check for check in check_flow() if check.name == "data keys")
    assert check.state is Health.OK


def test_job_without_its_key_waits_for_ever_by_default(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    (job,) = submit(acme, payload=PAYLOAD)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    meet_missing_key(job, tick, start)
    age_events(job, 10_000)
    assert meet_missing_key(job, tick, start).name == "execution.put_off"


def test_job_without_its_key_dies_after_the_configured_hours(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(DATA_KEY_MISSING_HOURS=2.0)
    (job,) = submit(acme, payload=PAYLOAD)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    meet_missing_key(job, tick, start)
    age_events(job, 1.9)
    assert meet_missing_key(job, tick, start).name == "execution.put_off"
    age_events(job, 0.2)
    meet_missing_key(job, tick, start)
    dead = reload(job)
    assert (dead.state, dead.error_type) == (JobState.DISCARDED, "data_key_unavailable")
    assert "lacks the master key" in dead.error_message
    # Its payload is kept, and can be opened with the key.
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b"), master("a")])
    forget_keys()
    assert reload(job).payload == PAYLOAD
