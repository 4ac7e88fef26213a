"""Schedule definitions: refusals by field, the next time after a change, versions, limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from scheduling.exceptions import ScheduleInvalidError, ScheduleLimitError, ScheduleNotFoundError, ScheduleStaleError
from scheduling.limits.declared import SCHEDULE_COUNT
from scheduling.models import Schedule, ScheduleFire
from scheduling.schedules.definitions import delete_schedule, pause_schedule, resume_schedule, update_schedule
from scheduling.schedules.runs import run_schedule_now
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import ReasonRequiredError
from tenants.limits.declared import LimitReached
from tenants.models import AuditLogEntry, Tenant
from tenants.plans.service import update_plan
from tenants.settings.service import change_settings
from tests.integration.scheduling.schedules.conftest import MakeSchedule, database_now, fires_of, make_due, reload

pytestmark = pytest.mark.django_db

IN_A_YEAR = datetime.now(UTC) + timedelta(days=365)


def audited(schedule: Schedule) -> list[str]:
    with all_tenants():
        entries = AuditLogEntry.objects.filter(target_id=str(schedule.pk)).order_by("id")
        return list(entries.values_list("action", flat=True))


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"cron": "0 0 30 2 *"}, ["cron"]),
        ({"cron": "* * * * * *"}, ["cron"]),
        ({"cron": "@reboot"}, ["cron"]),
        ({"cron": ""}, ["cron"]),
        ({"interval_seconds": 300}, ["interval_seconds"]),  # beside a cron
        ({"cron": "", "interval_seconds": 300, "once_at": IN_A_YEAR}, ["once_at"]),
        ({"cron": "", "interval_seconds": 59}, ["interval_seconds"]),  # the plan allows one in 60 s
        ({"cron": "", "once_at": datetime(2020, 1, 1, tzinfo=UTC)}, ["once_at"]),
        ({"cron": "", "once_at": datetime(9000, 1, 1, tzinfo=UTC)}, ["once_at"]),
        ({"timezone": "Mars/Olympus"}, ["timezone"]),
        ({"timezone": "Mars/Olympus", "cron": "x"}, ["timezone", "cron"]),
        ({"kind": "nonsense"}, ["kind"]),
        ({"kind": "sleep", "payload": {"seconds": "long"}}, ["payload.seconds"]),
        ({"payload": []}, ["payload"]),
        ({"payload": {"text": "\x00"}}, ["payload"]),
        ({"priority": 11}, ["priority"]),
        ({"queue": "pipeline"}, ["queue"]),
        ({"tags": ["x" * 65]}, ["tags"]),
        ({"tags": [str(number) for number in range(21)]}, ["tags"]),
        ({"max_retries": 99}, ["max_retries"]),
        ({"fair_key": "a\u200bb"}, ["fair_key"]),
        ({"concurrency_key": "a\u200bb"}, ["concurrency_key"]),
        ({"unique_key": "x" * 201}, ["unique_key"]),
        ({"unique_key": "x", "unique_until": "never"}, ["unique_until"]),
        ({"unique_until": "ended"}, ["unique_until"]),
        ({"name": " "}, ["name"]),
        ({"name": "a\u202eb"}, ["name"]),
        ({"dst_policy": "sometimes"}, ["dst_policy"]),
        ({"overlap_policy": "maybe"}, ["overlap_policy"]),
        ({"jitter_seconds": 3601}, ["jitter_seconds"]),
        ({"starts_at": IN_A_YEAR, "ends_at": IN_A_YEAR}, ["ends_at"]),
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, ["ends_at"]),  # it has no future fire
        ({"starts_at": datetime(9000, 1, 1, tzinfo=UTC)}, ["starts_at"]),
        ({"cron": "x", "name": "", "priority": 99}, ["name", "priority", "cron"]),
    ],
)
def test_invalid_schedule_is_refused_by_its_field(
    acme: Tenant, make_schedule: MakeSchedule, values: dict[str, Any], fields: list[str]
) -> None:
    with pytest.raises(ScheduleInvalidError) as refused:
        make_schedule(acme, **values)
    assert [fault["field"] for fault in refused.value.errors] == fields
    with all_tenants():
        assert not Schedule.objects.exists()


def test_schedule_faster_than_the_plan_allows_is_refused(acme: Tenant, make_schedule: MakeSchedule) -> None:
    update_plan(plan=acme.plan, changes={}, limits={"schedules.min_interval_seconds": 300})
    make_schedule(acme, cron="*/5 * * * *")
    with pytest.raises(ScheduleInvalidError, match="shortest interval is 240 s; the plan allows one run in 300 s"):
        make_schedule(acme, cron="*/7 * * * *")


def test_number_of_schedules_is_limited_by_the_plan(acme: Tenant, globex: Tenant, make_schedule: MakeSchedule) -> None:
    update_plan(plan=acme.plan, changes={}, limits={"schedules.count": 1})
    make_schedule(acme)
    with pytest.raises(ScheduleLimitError) as caught:
        make_schedule(acme)
    assert caught.value.limit == LimitReached("schedules.count", SCHEDULE_COUNT.unit, 1, 1)
    make_schedule(globex)  # schedules of another tenant do not count


def test_schedule_name_is_unique_within_a_tenant(acme: Tenant, globex: Tenant, make_schedule: MakeSchedule) -> None:
    first = make_schedule(acme, name="nightly")
    make_schedule(globex, name="nightly")
    second = make_schedule(acme, name="daily")
    with pytest.raises(ScheduleInvalidError, match="name"):
        make_schedule(acme, name="nightly")
    with tenant_context(acme), pytest.raises(ScheduleInvalidError, match="name"):
        update_schedule(schedule_id=second.pk, changes={"name": first.name})


def test_next_time_is_the_first_after_now_within_the_bounds(acme: Tenant, make_schedule: MakeSchedule) -> None:
    assert make_schedule(acme).next_fire_at > database_now()  # type: ignore[operator]
    starts_at = datetime(2090, 6, 1, 0, 30, tzinfo=UTC)
    bounded = make_schedule(acme, cron="30 2 * * *", timezone="Europe/Berlin", starts_at=starts_at)
    assert bounded.next_fire_at == starts_at  # the bound is inclusive


def test_interval_begins_one_interval_from_now(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = reload(make_schedule(acme, cron="", interval_seconds=5_400))
    assert schedule.starts_at == schedule.next_fire_at == database_now() + timedelta(seconds=5_400)
    given = reload(make_schedule(acme, cron="", interval_seconds=5_400, starts_at=IN_A_YEAR))
    assert given.next_fire_at == IN_A_YEAR


def test_new_way_of_timing_replaces_the_former(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    with tenant_context(acme):
        update_schedule(schedule_id=schedule.pk, changes={"once_at": IN_A_YEAR})
        once = reload(schedule)
        assert (once.cron, once.interval_seconds, once.next_fire_at) == ("", None, IN_A_YEAR)
        update_schedule(schedule_id=schedule.pk, changes={"interval_seconds": 300})
        paced = reload(schedule)
        assert (paced.cron, paced.once_at) == ("", None)
        assert paced.next_fire_at == database_now() + timedelta(seconds=300)
        update_schedule(schedule_id=schedule.pk, changes={"cron": "@daily"})
    daily = reload(schedule)
    assert (daily.cron, daily.interval_seconds, daily.once_at) == ("0 0 * * *", None, None)


def test_change_needs_the_version_that_was_read(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    with tenant_context(acme):
        changed = update_schedule(schedule_id=schedule.pk, changes={"priority": 2}, version=1)
        assert changed.version == 2
        with pytest.raises(ScheduleStaleError):
            update_schedule(schedule_id=schedule.pk, changes={"priority": 3}, version=1)
    assert reload(schedule).priority == 2
    assert audited(schedule) == ["schedule.created", "schedule.updated"]


def test_next_time_moves_only_with_a_new_timing(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    due = make_due(schedule, minutes_ago=3)
    with tenant_context(acme):
        update_schedule(schedule_id=schedule.pk, changes={"priority": 1})
        assert reload(schedule).next_fire_at == due
        update_schedule(schedule_id=schedule.pk, changes={"cron": "*/2 * * * *"})
    assert reload(schedule).next_fire_at > database_now()  # type: ignore[operator]


def test_paused_schedule_has_no_next_time_and_a_reason(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    with tenant_context(acme):
        with pytest.raises(ReasonRequiredError):
            pause_schedule(schedule_id=schedule.pk, reason=" ")
        pause_schedule(schedule_id=schedule.pk, reason="quarter's end")
        paused = reload(schedule)
        assert (paused.is_enabled, paused.pause_reason, paused.next_fire_at) == (False, "quarter's end", None)
        update_schedule(schedule_id=schedule.pk, changes={"cron": "5 * * * *"})
        assert reload(schedule).next_fire_at is None
        resume_schedule(schedule_id=schedule.pk)
    resumed = reload(schedule)
    assert resumed.next_fire_at > database_now()  # type: ignore[operator]
    assert (resumed.is_enabled, resumed.pause_reason) == (True, "")


def test_deleted_schedule_removes_its_fires_and_leaves_its_jobs(acme: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    with tenant_context(acme):
        fire = run_schedule_now(schedule_id=schedule.pk)
        delete_schedule(schedule_id=schedule.pk)
        assert not Schedule.objects.exists()
        assert not ScheduleFire.objects.exists()
        fire.job.refresh_from_db()  # type: ignore[union-attr]
    assert audited(schedule)[-1] == "schedule.deleted"


def test_schedule_of_another_tenant_is_not_found(acme: Tenant, globex: Tenant, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    with tenant_context(globex), pytest.raises(ScheduleNotFoundError), transaction.atomic():
        pause_schedule(schedule_id=schedule.pk, reason="mine now")
    assert reload(schedule).is_enabled
    assert fires_of(schedule) == []


def test_new_schedule_has_the_tenants_time_zone_by_default(acme: Tenant, make_schedule: MakeSchedule) -> None:
    assert make_schedule(acme).timezone == "UTC"
    change_settings(tenant=acme, values={"timezone": "Europe/Berlin"})
    assert make_schedule(acme).timezone == "Europe/Berlin"
    assert make_schedule(acme, timezone="Asia/Tokyo").timezone == "Asia/Tokyo"
