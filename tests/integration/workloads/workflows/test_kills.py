"""Runs whose worker dies at random: stored results are not recomputed, and nothing is lost.

`tests/acceptance/test_workflows.py` kills real processes; here the moments are both sides of every checkpoint.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from scheduling.execution import processing, settlement_builders
from scheduling.execution.checkpoints import save_checkpoint
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution, start_execution
from scheduling.kit.base import AsyncJobContext, Child, Complete, Effects, Json, Yielded
from scheduling.kit.testing import AsyncRecordingRuntime
from scheduling.models import LiveExecution
from scheduling.worker.local_worker import LocalWorker
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.settings.schema import settings_of
from tests.integration.workloads.workflows.conftest import Runs, dispatch, nodes_of, reload, run_of
from tests.model_server import ModelServer
from tests.unit.workloads.workflows.definitions import each, node, workflow
from workloads.workflows.processor import WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)

ITEMS = 6
DEFINITION = workflow(
    node("first", "llm", prompt="first"),
    each(
        "each",
        list(range(ITEMS)),
        node("ask", "llm", prompt="item {{ item }}"),
        node("note"),
        ways=["ask > note"],
        parallel=2,
    ),
    node("last", "llm", prompt="last"),
    outputs={"count": {"ref": "nodes.each.count"}},
)


class Died(BaseException):
    """The process is killed."""


class Dying:
    """A runtime whose process dies around one of its checkpoints: before its commit, or right after."""

    def __init__(
        self, started: StartedExecution, *, dies_at: int = 0, is_kept: bool = True, is_slot_wanted: bool = False
    ) -> None:
        self.started = started
        self.dies_at = dies_at
        self.is_kept = is_kept
        self.is_slot_wanted = is_slot_wanted
        self.effects: list[Effects] = []

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        self.dies_at -= 1
        if self.dies_at == 0 and not self.is_kept:
            raise Died
        save_checkpoint(
            tenant_id=self.started.tenant_id,
            job_id=self.started.job_id,
            fence=self.started.fence,
            state=state,
            effects=effects,
        )
        if self.dies_at == 0:
            raise Died

    def in_settlement(self, effects: Effects) -> None:
        self.effects.append(effects)

    def report_progress(self, current: int, total: int, message: str) -> None: ...

    def should_yield(self) -> bool:
        return self.is_slot_wanted

    def log(self, message: str, level: str, fields: Json) -> None: ...

    def stream(self, name: str, text: str, *, restart: bool) -> None: ...

    def check_child(self, child: Child) -> None: ...

    def enter_dependency(self, dependency: object) -> None: ...

    def leave_dependency(self, dependency: object, error: BaseException | None) -> None: ...


def begin(job, local: LocalWorker) -> StartedExecution:
    dispatch()
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
    started = start_execution(execution_id=live.id, token=live.token, worker_id=local.registration.worker_id)
    assert started is not None
    return started


def process(started: StartedExecution, runtime: Dying) -> Any:
    blocking = processing.context_of(started, runtime, settings_of(started.tenant_id))
    context = AsyncJobContext.of(blocking, AsyncRecordingRuntime(runtime))
    return async_to_sync(WorkflowExecution().process)(context)


@pytest.mark.parametrize("seed", range(5))
def test_stored_results_are_not_recomputed_after_kills(
    runs: Runs, local: LocalWorker, acme: Tenant, model: ModelServer, seed: int
) -> None:
    chance = random.Random(seed)
    job = runs.start(acme, DEFINITION)
    kills = 0
    while True:
        started = begin(job, local)
        # Nodes that end together are stored together, so the number of steps varies; each run has at least two.
        dies_at = chance.randint(1, 6 if kills >= 2 else 2)
        runtime = Dying(started, dies_at=dies_at, is_kept=chance.random() < 0.5)
        try:
            outcome = process(started, runtime)
        except Died:
            kept = {name: row for name, row in nodes_of(job).items() if row.state == "succeeded"}
            asked = Counter(model.prompts)
            assert settle([settlement_builders.shut_down(started.execution_id, started.fence)])
            kills += 1
            continue
        assert isinstance(outcome, Complete)
        assert settle(
            [Settlement.completed(started.execution_id, started.fence, dict(outcome.result or {}))],
            effects=lambda: [effects() for effects in runtime.effects],  # noqa: B023 - of this very turn
        )
        break
    assert kills >= 2
    again = Counter(model.prompts)
    prompts = {f"item {row.path[0]}" for row in kept.values() if row.node_id == "ask"}
    prompts |= {row.node_id for row in kept.values() if row.node_id in {"first", "last"}}
    assert {prompt: again[prompt] for prompt in prompts} == {prompt: asked[prompt] for prompt in prompts}
    job = reload(job)
    assert (job.state, job.result["outputs"]) == ("completed", {"count": ITEMS})
    nodes = nodes_of(job)
    assert len(nodes) == 2 * ITEMS + 5
    assert {row.state for row in nodes.values()} == {"succeeded"}
    assert run_of(job).state == "succeeded"


def test_run_that_yields_at_its_nodes_executes_each_once(
    runs: Runs, local: LocalWorker, acme: Tenant, model: ModelServer
) -> None:
    job, slices = runs.start(acme, DEFINITION), 0
    while True:
        started = begin(job, local)
        runtime = Dying(started, is_slot_wanted=True)
        outcome = process(started, runtime)
        if isinstance(outcome, Complete):
            break
        assert isinstance(outcome, Yielded)
        slices += 1
        assert settle([settlement_builders.yielded(started.execution_id, started.fence, dict(outcome.state))])
    assert slices >= 4
    assert Counter(model.prompts) == Counter(["first", "last", *(f"item {number}" for number in range(ITEMS))])
    assert outcome.result is not None
    assert outcome.result["outputs"] == {"count": ITEMS}
