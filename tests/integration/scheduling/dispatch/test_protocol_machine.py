"""Histories drawn by Hypothesis, on PostgreSQL and a broker with real commits, against the model in memory.

`PROTOCOL_EXAMPLES=500` searches longer. A failure prints its moves, and is tried first next time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from celery import current_app
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test
from kombu import Connection, pools

from scheduling.conf import LIST_WORK_US
from scheduling.dispatch import broker, republish
from scheduling.execution import holds, leases, rescue, settlement
from scheduling.execution import start as execution
from tenants.database.platform_settings import platform_settings
from tests.brokers import empty_database
from tests.databases import TestDatabase
from tests.integration.scheduling.protocol_machine import ProtocolMachine
from tests.integration.scheduling.protocol_sides import LEASE_SECONDS, LISTED_US, PLANS, REPUBLISH_SECONDS
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = int(os.environ.get("PROTOCOL_EXAMPLES", "12"))
STEPS = 50
# Examples in addition to those of the acceptance tests.
FIRST_DATABASE = 8
# The condition of the start of a list's executions.
OF_LIST = "NOT l.is_list OR l.id = (SELECT id FROM first)"
FULL_LIST = LIST_WORK_US // LISTED_US

type Machines = Callable[[], ProtocolMachine]


@pytest.fixture
def machines(
    change_platform_settings: ChangePlatformSettings,
    worker_id: str,
    django_db_setup: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Machines]:
    """Return a function that makes a machine on an empty broker database of this test process."""
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    url = urlunsplit(urlsplit(platform_settings.REDIS_URL)._replace(path=f"/{FIRST_DATABASE + number}"))
    change_platform_settings(REDIS_URL=url)
    change_platform_settings(LEASE_SECONDS=LEASE_SECONDS, REPUBLISH_AFTER_SECONDS=REPUBLISH_SECONDS)
    change_platform_settings(CIRCUIT_FAILURES=0)
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "connection_for_write", lambda *_, **__: Connection(url))
    _forget_connections()
    with redis.Redis.from_url(url) as client:
        yield lambda: ProtocolMachine(client, django_db_setup.reset)
        empty_database(client)
    monkeypatch.undo()
    _forget_connections()


def _forget_connections() -> None:
    broker.client.cache_clear()
    pools.reset()
    current_app._pool = None
    current_app.amqp._producer_pool = None


def test_database_behaves_as_the_model(machines: Machines) -> None:
    run_state_machine_as_test(
        machines,
        settings=hypothesis_settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_length_of_a_list_depends_on_predictions_alone(machines: Machines) -> None:
    machine = machines()
    try:
        for _ in range(2):
            assert machine.begin_list("acme", FULL_LIST + 1, 0)
            assert len(machine.holds[-1].members) == FULL_LIST
            machine.jump_clock()  # the first one seems to run for long
            for _ in range(FULL_LIST):
                machine.end(0, "completed")
                machine.begin_here(0)
        machine.agrees_with_the_model()
    finally:
        machine.reset()


def _undo_what_runs(machine: ProtocolMachine) -> None:
    machine.deliver(0, 0, is_first=True)
    begun = machine.owned_executions[0].execution.execution_id
    machine.undo([claim.execution for claim in machine.claims][::-1].index(begun))


def _yield_what_is_cancelled(machine: ProtocolMachine) -> None:
    machine.deliver(0, 0, is_first=True)
    machine.cancel([job.id for job in machine.model.jobs.values()][::-1].index(machine.owned_executions[0].job.id))
    machine.end(0, "yielded")


def _sweep_what_runs(machine: ProtocolMachine) -> None:
    machine.deliver(0, 0, is_first=True)
    machine.sweep()


def _publish_again(machine: ProtocolMachine) -> None:
    for _ in range(4):
        machine.jump_clock()
    machine.sweep()


def _begin_by_an_old_message(machine: ProtocolMachine) -> None:
    _publish_again(machine)
    machine.deliver(0, 0, is_first=True)


def _begin_twice(machine: ProtocolMachine) -> None:
    machine.deliver(0, 0, is_first=True)
    machine.begin_again(0, 1)


def _hold_list(machine: ProtocolMachine) -> None:
    for _ in PLANS:
        machine.deliver(0, 0, is_first=True)
        machine.end(0, "completed")
    machine.begin_list("acme", 3, 0)
    assert len(machine.holds[-1].members) == 3


def _settle_again(machine: ProtocolMachine) -> None:
    _hold_list(machine)
    machine.settle_and_begin(0, "completed", is_answered=True)
    machine.settle_and_begin(1, "completed", is_answered=True)


def _begin_here(machine: ProtocolMachine) -> None:
    _hold_list(machine)
    machine.begin_here(0)


def _hold_late(machine: ProtocolMachine) -> None:
    _hold_list(machine)
    machine.settle_and_begin(0, "completed", is_answered=True)
    machine.end(0, "completed")
    machine.hold_again(0)


def _renew_list(machine: ProtocolMachine) -> None:
    _hold_list(machine)
    for _ in range(2):
        machine.jump_clock()
        machine.jump_clock()
        machine.beat(0)
        machine.sweep()


def _lose_list(machine: ProtocolMachine) -> None:
    _hold_list(machine)
    for _ in range(3):
        machine.jump_clock()
    machine.sweep()


@pytest.mark.parametrize(
    ("module", "statement", "rule", "bug", "moves"),
    [
        (settlement, "_SETTLE_ONE", "AND l.fence = v.fence", "", _undo_what_runs),
        (
            settlement,
            "_SETTLE_ONE",
            "WHEN l.cancel_requested_at IS NOT NULL AND",
            "WHEN false AND",
            _yield_what_is_cancelled,
        ),
        (rescue, "_LOST", "l.lease_expires_at < now()", "l.lease_expires_at IS NOT NULL", _sweep_what_runs),
        (republish, "_RENEW", "token = (%(tokens)s::uuid[])[c.position]", "token = l.token", _publish_again),
        (execution, "_START_ONE", "l.token = %(token)s AND", "", _begin_by_an_old_message),
        (execution, "_START_ONE", " AND (l.hold_id IS NULL OR l.hold_id = %(hold_id)s)", "", _begin_twice),
        (execution, "_START_MANY", f"({OF_LIST}) | ({OF_LIST})", "true", _hold_list),
        (execution, "_START_MANY", "l.hold_id IS NULL AND ( | l.hold_id IS NULL AND (", "(", _hold_late),
        (holds, "SETTLE_AND_BEGIN", "SELECT job_id FROM job", "SELECT", _settle_again),
        (holds, "_BEGIN_HERE", "WHERE NOT EXISTS (SELECT FROM unrun)", "", _begin_here),
        (republish, "_RENEW", " | ".join(["worker_id IS NULL"] * 3), "started_at IS NULL", _renew_list),
        (leases, "_BEAT", "ORDER BY l.id", "AND l.started_at IS NOT NULL ORDER BY l.id", _renew_list),
        (rescue, "_LOST", "l.started_at IS NOT NULL AS has_begun", "true AS has_begun", _lose_list),
    ],
    ids=[
        "no fence",
        "cancel forgotten",
        "no lease",
        "no new token",
        "no token",
        "begun twice",
        "list begun at once",
        "late hold begins",
        "begun without settling",
        "begun beside one that has not run",
        "held republished",
        "held not renewed",
        "held rescued as crashed",
    ],
)
def test_planted_bug_differs_from_the_model(
    machines: Machines,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    statement: str,
    rule: str,
    bug: str,
    moves: Callable[[ProtocolMachine], None],
) -> None:
    def go() -> None:
        machine = machines()
        try:
            machine.begin_with_work()
            machine.tick()
            moves(machine)
            machine.agrees_with_the_model()
        finally:
            machine.reset()

    go()
    correct = getattr(module, statement)
    wrong, times = re.subn("|".join(map(re.escape, rule.split(" | "))), bug, correct)
    assert times == rule.count(" | ") + 1
    monkeypatch.setattr(module, statement, wrong)
    with pytest.raises(AssertionError):
        go()
