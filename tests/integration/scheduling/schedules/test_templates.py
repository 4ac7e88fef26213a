"""Schedules of job templates: what is saved, refused and fired, and what keeps a template."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext

from scheduling.exceptions import ScheduleInvalidError
from scheduling.jobs.job_templates.exceptions import (
    JobTemplateInUseError,
    ParametersInvalidError,
    PermissionToRunDeniedError,
)
from scheduling.jobs.job_templates.service import TemplateContent, add_version, create_template, delete_template
from scheduling.models import JobTemplate
from scheduling.schedules.definitions import delete_schedule, update_schedule
from scheduling.schedules.firing import fire_due_schedules
from scheduling.schedules.runs import run_schedule_now
from tenants.access.caller import Access
from tenants.context import acting_as, current_actor, tenant_context
from tenants.models import ApiKey, AuditLogEntry, Role, Tenant
from tenants.secrets.errors import SecretUseDeniedError
from tests.integration.scheduling.job_helpers import write_version
from tests.integration.scheduling.schedules.conftest import MakeSchedule, fires_of, reload

pytestmark = pytest.mark.django_db

MIGRATION = "0016_schedule_templates"
CONTENT = TemplateContent(
    kind="noop",
    payload={"day": "{{ parameters.day }}", "limit": "{{ parameters.limit }}"},
    parameters={"properties": {"day": {"type": "string"}, "limit": {"type": "integer", "default": 10}}},
    tags=["nightly"],
    priority=2,
    max_retries=1,
)
NEEDS_MORE = TemplateContent(
    kind="noop",
    payload={"zone": "{{ parameters.zone }}", "day": "{{ parameters.day }}"},
    parameters={"properties": {"day": {"type": "integer"}, "zone": {"type": "string"}}},
)
VALUES: dict[str, Any] = {"kind": "", "template": "nightly", "payload": {"day": "secret-monday"}}


@pytest.fixture
def template(acme: Tenant) -> JobTemplate:
    return create_template(tenant=acme, name="nightly", content=CONTENT, runners=[Role.VIEWER])


def faults_of(refused: pytest.ExceptionInfo[ScheduleInvalidError]) -> list[str]:
    return [fault["field"] for fault in refused.value.errors]


def test_fire_runs_the_version_in_effect(acme: Tenant, template: JobTemplate, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, due_minutes_ago=0, **VALUES)
    assert (schedule.kind, schedule.template) == ("noop", template)
    fire_due_schedules()
    add_version(
        template=template, content=TemplateContent(kind="sleep", payload={"seconds": 1}, parameters=CONTENT.parameters)
    )
    assert reload(schedule).kind == "sleep"
    with tenant_context(acme):
        run_schedule_now(schedule_id=schedule.pk)
    first, second = (fire.job for fire in fires_of(schedule))
    assert first is not None
    assert second is not None
    assert (first.kind, first.payload) == ("noop", {"day": "secret-monday", "limit": 10})
    assert (first.priority, first.tags, first.max_retries) == (2, ["nightly"], 1)
    assert (second.kind, second.payload, second.priority, second.tags) == ("sleep", {"seconds": 1}, 0, [])
    assert [job.meta for job in (first, second)] == [{"template": "nightly@1"}, {"template": "nightly@2"}]


@pytest.mark.usefixtures("template")
def test_options_of_the_schedule_take_the_place_of_the_templates(acme: Tenant, make_schedule: MakeSchedule) -> None:
    given = {"priority": 1, "tags": ["own"], "max_retries": 0, "fair_key": "ann", "concurrency_key": "one"}
    schedule = make_schedule(acme, **VALUES, **given)
    with tenant_context(acme):
        job = run_schedule_now(schedule_id=schedule.pk).job
    assert job is not None
    assert {name: getattr(job, name) for name in given} == given


@pytest.mark.usefixtures("template")
@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"payload": {}}, ["payload.day"]),
        ({"payload": {"day": 7, "limit": "many"}}, ["payload.day", "payload.limit"]),
        ({"payload": {"day": "monday", "other": 1}}, ["payload.other"]),
        ({"template": "nothing"}, ["template"]),
        ({"kind": "sleep"}, ["kind"]),
        ({"priority": 99}, ["priority"]),
    ],
)
def test_values_that_do_not_fit_are_refused_by_field(
    acme: Tenant, make_schedule: MakeSchedule, values: dict[str, Any], fields: list[str]
) -> None:
    with pytest.raises(ScheduleInvalidError) as refused:
        make_schedule(acme, **VALUES | values)
    assert faults_of(refused) == fields


def test_payload_of_a_template_is_not_quoted(acme: Tenant, make_schedule: MakeSchedule) -> None:
    content = TemplateContent(
        kind="sleep", payload={"seconds": "hidden {{ parameters.day }}"}, parameters=CONTENT.parameters
    )
    create_template(tenant=acme, name="nightly", content=content)
    with pytest.raises(ScheduleInvalidError) as refused:
        make_schedule(acme, **VALUES)
    assert faults_of(refused) == ["payload"]
    assert "hidden" not in str(refused.value.errors)


def test_secret_in_a_value_needs_their_right_even_if_no_payload_has_it(
    acme: Tenant, make_schedule: MakeSchedule
) -> None:
    unused = TemplateContent(kind="noop", parameters=CONTENT.parameters)
    create_template(tenant=acme, name="nightly", content=unused)
    values = VALUES | {"payload": {"day": "{{ secrets.api }}"}}
    with acting_as(replace(current_actor(), may_use_secrets=False)), pytest.raises(ScheduleInvalidError) as refused:
        make_schedule(acme, **values)
    assert faults_of(refused) == ["payload"]
    make_schedule(acme, **values)


def test_secret_of_a_schedule_cannot_be_placed_elsewhere_without_their_right(
    acme: Tenant, make_schedule: MakeSchedule
) -> None:
    unused = TemplateContent(kind="noop", parameters=CONTENT.parameters)
    template = create_template(tenant=acme, name="nightly", content=unused)
    schedule = make_schedule(acme, **VALUES | {"payload": {"day": "{{ secrets.api }}"}})
    create_template(tenant=acme, name="other", content=CONTENT)
    used = replace(unused, payload={"to": "{{ parameters.day }}"})
    without_right = replace(current_actor(), may_use_secrets=False)
    with tenant_context(acme), acting_as(without_right):
        with pytest.raises(SecretUseDeniedError):
            add_version(template=template, content=used)
        with pytest.raises(ScheduleInvalidError) as refused:
            update_schedule(schedule_id=schedule.pk, changes={"template": "other"})
        assert faults_of(refused) == ["payload"]
    assert add_version(template=template, content=used) is not None


def test_template_of_another_tenant_is_refused(
    acme: Tenant, globex: Tenant, template: JobTemplate, make_schedule: MakeSchedule
) -> None:
    with pytest.raises(ScheduleInvalidError) as refused:
        make_schedule(globex, **VALUES)
    assert faults_of(refused) == ["template"]


def test_schedule_gets_and_loses_a_template(acme: Tenant, template: JobTemplate, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme)
    with tenant_context(acme):
        with pytest.raises(ScheduleInvalidError) as refused:
            update_schedule(schedule_id=schedule.pk, changes={"template": "nightly"})
        assert faults_of(refused) == ["payload.day"]
        update_schedule(schedule_id=schedule.pk, changes={"template": "nightly", "payload": {"day": "monday"}})
        entry = AuditLogEntry.objects.filter(action="schedule.updated").latest("id")
        assert entry.after["template"] == str(template.pk)
        changed = update_schedule(schedule_id=schedule.pk, changes={"template": None, "kind": "noop", "payload": {}})
    assert (changed.template, changed.kind, reload(schedule).template_id) == (None, "noop", None)


def test_version_with_a_part_of_a_later_release_refuses_the_fire_alone(
    acme: Tenant, template: JobTemplate, make_schedule: MakeSchedule
) -> None:
    schedule = make_schedule(acme, due_minutes_ago=0, **VALUES)
    write_version(template.pk, 2, part_of_a_later_release=1)
    with tenant_context(acme):
        JobTemplate.objects.filter(pk=template.pk).update(version=2)
    fire_due_schedules()
    (fire,) = fires_of(schedule)
    assert (fire.outcome, fire.reason.split(":")[0]) == ("refused", "job_template_invalid")
    assert reload(schedule).is_enabled


@pytest.mark.parametrize("others", [0, 1])
def test_version_that_refuses_the_stored_values_is_recorded_with_the_parameters(
    acme: Tenant, template: JobTemplate, make_schedule: MakeSchedule, others: int
) -> None:
    broken = make_schedule(acme, due_minutes_ago=0, **VALUES)
    sound = [make_schedule(acme, due_minutes_ago=0) for _ in range(others)]
    add_version(template=template, content=NEEDS_MORE)
    fire_due_schedules()
    (fire,) = fires_of(broken)
    assert (fire.outcome, fire.job) == ("refused", None)
    assert fire.reason == "parameters_invalid: The parameters do not fit the template's schema: zone, day."
    assert [fire.outcome for other in sound for fire in fires_of(other)] == ["submitted"] * others
    after = reload(broken)
    assert after.is_enabled
    assert after.next_fire_at is not None
    with tenant_context(acme), pytest.raises(ParametersInvalidError, match="zone, day") as refused:
        run_schedule_now(schedule_id=broken.pk)
    assert "secret-monday" not in str(refused.value.errors)
    with tenant_context(acme), pytest.raises(ScheduleInvalidError) as stored:
        update_schedule(schedule_id=broken.pk, changes={"cron": "5 * * * *"})
    assert faults_of(stored) == ["payload.zone", "payload.day"]
    assert "secret-monday" not in str(stored.value.errors)


def test_version_is_read_once_for_all_times(acme: Tenant, template: JobTemplate, make_schedule: MakeSchedule) -> None:
    schedule = make_schedule(acme, due_minutes_ago=5, catch_up_policy="all", **VALUES)
    with CaptureQueriesContext(connection) as queries:
        fire_due_schedules()
    assert [fire.outcome for fire in fires_of(schedule)] == ["submitted"] * 6
    assert (
        len([one for one in queries.captured_queries if "scheduling_job_template_version" in (one["sql"] or "")]) == 1
    )


def test_template_that_a_schedule_runs_is_kept(
    acme: Tenant, template: JobTemplate, make_schedule: MakeSchedule
) -> None:
    schedules = [make_schedule(acme, **VALUES, name=name) for name in ("second", "first")]
    with pytest.raises(JobTemplateInUseError, match="Schedules run it: first, second"):
        delete_template(template=template)
    with tenant_context(acme):
        assert not AuditLogEntry.objects.filter(action="job_template.deleted").exists()
        for schedule in schedules:
            delete_schedule(schedule_id=schedule.pk)
    delete_template(template=template)


@pytest.mark.parametrize(
    ("scopes", "is_permitted"),
    [
        (["schedules.manage"], False),
        (["schedules.manage", "jobs.submit"], False),
        (["schedules.manage", "templates.run"], False),  # the roles of a template are no key's
        (["schedules.manage", "jobs.submit", "templates.run"], True),
    ],
)
def test_saving_needs_the_right_to_run_the_template(
    acme: Tenant, template: JobTemplate, make_schedule: MakeSchedule, scopes: list[str], *, is_permitted: bool
) -> None:
    access = Access(tenant=acme, api_key=ApiKey(tenant=acme, scopes=scopes))
    schedule = make_schedule(acme, **VALUES)
    with tenant_context(acme):
        if is_permitted:
            update_schedule(schedule_id=schedule.pk, changes={"cron": "5 * * * *"}, access=access)
            return
        for changes in ({"cron": "5 * * * *"}, {"payload": {"day": "sunday"}}):
            with pytest.raises(PermissionToRunDeniedError):
                update_schedule(schedule_id=schedule.pk, changes=changes, access=access)
        update_schedule(schedule_id=schedule.pk, changes={"template": None, "payload": {}}, access=access)


def test_migration_is_not_reversed_while_schedules_run_templates(
    acme: Tenant, template: JobTemplate, make_schedule: MakeSchedule
) -> None:
    apps = MigrationLoader(connection).project_state([("scheduling", MIGRATION)]).apps
    refuse = import_module(f"scheduling.migrations.{MIGRATION}").refuse_schedules_of_templates
    editor: Any = SimpleNamespace(connection=connection)
    refuse(apps, editor)
    make_schedule(acme, **VALUES)
    with pytest.raises(IrreversibleError, match="run templates"):
        refuse(apps, editor)
