"""The commands `pause`, `resume` and `drain`."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from scheduling.fleet.workers import Registration
from tenants.context import all_tenants, command_actor
from tenants.models import AuditLogEntry, Tenant

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> Any:
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    ("target", "name"), [("queue", "dataset"), ("kind", "noop"), ("pool", "default"), ("tenant", "acme")]
)
def test_each_target_is_paused_drained_and_resumed(acme: Tenant, target: str, name: str) -> None:
    paused = run("pause", target, name, "--reason", "disk", "--until", "2999-01-01T00:00:00Z")
    assert (paused["pause"]["reason"], paused["pause"]["by"]) == ("disk", f"command:{command_actor('pause').label}")
    draining = run("drain", target, name, "--reason", "moving")
    assert draining["drain"]["reason"] == "moving"
    assert run("resume", target, name) == {"name": name, "pause": None, "drain": None, "progress": None}
    with all_tenants():
        kinds = AuditLogEntry.objects.filter(action__startswith=f"{target}.").values_list("actor_kind", flat=True)
        assert {*kinds} - {"system"} == {"command"}


def test_command_prints_the_state_of_its_target(acme: Tenant) -> None:
    out = io.StringIO()
    call_command("drain", "tenant", "acme", "--reason", "moving", stdout=out)
    assert (
        out.getvalue()
        == "The tenant acme is draining: moving (0 waiting, 0 in flight, 0.0 a minute, about 0 s left).\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "queue", "nope", "--reason", "x"),
        ("pause", "queue", "dataset", "--reason", " "),
        ("pause", "queue", "dataset", "--reason", "x", "--until", "2020-01-01T00:00:00Z"),
        ("drain", "worker", "nope:1", "--reason", "x"),
        ("resume", "tenant", "nope"),
    ],
)
def test_invalid_arguments_are_refused(db: None, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command(*arguments)


@pytest.mark.parametrize("until", ["tomorrow", "2999-01-01T00:00:00"])
def test_time_without_a_zone_is_refused(until: str) -> None:
    with pytest.raises(CommandError):
        call_command("pause", "queue", "dataset", "--reason", "x", "--until", until)


def test_worker_is_drained_by_host_and_process_id(worker: Registration) -> None:
    assert run("drain", "worker", "test:1", "--reason", "scale in", "--wait")["status"] == "draining"
    assert run("resume", "worker", str(worker.worker_id))["status"] == "online"
