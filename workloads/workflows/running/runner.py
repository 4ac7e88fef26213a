"""One start of a run's job: it continues from the checkpoint until the run ends, waits, or yields its slot.

Each turn takes results, plans, does at once what takes negligible time, and stores the state; between two turns the
event loop waits for the rest, without a database connection. The stored state is a safe point: work in it is never
repeated; work that was begun and not stored is begun again by the worker that resumes the run.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Self
from uuid import UUID

from scheduling.compensation.service import record_work
from scheduling.kit.base import (
    MAX_CHILDREN,
    AsyncJobContext,
    AwaitChildren,
    Child,
    Complete,
    Interrupted,
    Outcome,
    PermanentError,
    Snoozed,
    Suspended,
    Yielded,
)
from workloads.model_endpoints.usage import record_usage, total_cost
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.planner import Planner
from workloads.workflows.engine.state import Key, NodeError, Status, WaitCause, WorkflowRunProgress
from workloads.workflows.engine.tasks import Bounds, Task
from workloads.workflows.inputs import read_inputs
from workloads.workflows.nodes.child_job import child_of
from workloads.workflows.nodes.work import PreparedNode, Result
from workloads.workflows.records.records import RecordState
from workloads.workflows.records.repository import save_records
from workloads.workflows.running import repository
from workloads.workflows.running.children import apply_children, have_ended
from workloads.workflows.running.concurrency import NodeConcurrency, failure_of
from workloads.workflows.running.decisions import apply_decisions
from workloads.workflows.running.node_work import NodeWork
from workloads.workflows.running.recording import Recording
from workloads.workflows.running.replays import begin_replay
from workloads.workflows.running.resumption import resume_ended_run
from workloads.workflows.running.undoing import undoings
from workloads.workflows.running.values import Values
from workloads.workflows.tenant_settings import MAX_SECONDS, MAX_STEPS, PARALLEL_NODES

# Interval of the checks for decisions.
DECISION_SECONDS: Final = 2.0
# A shorter wait is not worth a new start.
SHORT_WAIT_SECONDS: Final = 1.0
# Interval of the looks at children that have not ended.
CHILDREN_SECONDS: Final = 5.0
MAX_RESULT_CHARACTERS: Final = 32 * 1024


class Runner:
    """Execution of one run by one start of its job."""

    def __init__(self, context: AsyncJobContext) -> None:
        self.context = context
        self.clock = repository.database_clock()
        self.begun_at = time.monotonic()
        self.is_new = not context.state
        resumed = (resume_ended_run(context) or begin_replay(context)) if self.is_new else None
        self.state, values = resumed or (WorkflowRunProgress(0), ())
        if not self.is_new:
            self.state = WorkflowRunProgress.read(context.state)
        if self.state.error is not None:
            raise self._failure()
        self.used_before = self.state.active_seconds
        payload = context.payload
        number = self.state.workflow_version or payload.get("version")
        pinned = repository.read_version(context.tenant_id, UUID(payload["workflow_id"]), number)
        self.graph = Graph.read(pinned.definition)
        self.values = Values(context.tenant_id, context.job_id, self.state, values)
        self.inputs = self._read_inputs(pinned.number)
        bounds = Bounds(context.setting(MAX_STEPS.key), context.setting(MAX_SECONDS.key))
        self.planner = Planner(self.graph, self.state, bounds)
        if resumed is not None:
            self.planner.note_all()
        self.parallel = context.setting(PARALLEL_NODES.key)
        self.nodes = NodeConcurrency(context.blocking)
        self.recording = Recording(context.tenant_id, context.job_id, pinned, self.graph, self.state, self.values.load)
        self.work = NodeWork(context, self.planner, self.values, self.recording, self.inputs, self.clock)
        self.outcome: Outcome | None = None
        self.kept: dict[str, Any] = dict(context.state)
        self.decisions_due_at = 0.0
        self.is_draining = False
        self.interruption: Interrupted | None = None

    @classmethod
    def begin(cls, context: AsyncJobContext) -> Self:
        """Return the runner of a job after its first turn; call this where the database may be used."""
        runner = cls(context)
        runner.outcome = runner._turn()
        return runner

    async def run(self) -> Outcome:
        """Continue the run as far as possible, and return the outcome of the job."""
        yield_requested = asyncio.create_task(self.context.yield_requested())
        try:
            while self.outcome is None:
                await self.nodes.wait(self._patience(), () if self.is_draining else (yield_requested,))
                self.is_draining |= yield_requested.done() or await self.context.should_yield()
                self.outcome = await self.context.run(self._turn)
                self.nodes.drop(self.planner.is_expected)
            return self.outcome
        finally:
            yield_requested.cancel()
            await self.nodes.close()

    def _read_inputs(self, number: int) -> Any:
        if not self.is_new:
            return self.values.load(self.state.inputs)
        inputs, faults = read_inputs(self.graph, self.context.payload.get("inputs", {}))
        if faults:
            raise PermanentError(" ".join(fault["detail"] for fault in faults), code="inputs_invalid")
        self.state.workflow_version, self.state.started_at = number, self.clock()
        self.state.inputs = self.values.keep(inputs)
        return inputs

    def _turn(self) -> Outcome | None:
        """Take the results of nodes, do what can be done at once, and begin nodes whose work takes time.

        Return the job's outcome once there is nothing to wait for here.
        """
        if self.state.children and not self._take_children():
            return Snoozed(dict(self.context.state), CHILDREN_SECONDS)
        for task, answer in self.nodes.take_ended():
            self._take(task, answer)
        self._take_decisions()
        begun = [] if self.is_draining else self.work.advance(self.parallel - len(self.nodes))
        self._keep()
        if self.planner.is_ended:
            return self._conclude()
        self._begin(begun)
        return None if self.nodes else self._rest()

    def _begin(self, begun: list[tuple[Task, PreparedNode]]) -> None:
        for task, work in begun:
            try:
                self.nodes.begin(task, work)
            except Interrupted as interruption:
                # Its dependency is down. Running work is waited for, so that it is not repeated.
                self.interruption, self.is_draining = interruption, True
                return
            except Exception as error:  # noqa: BLE001 - whatever a node's work raises is the node's error
                self.work.fail(task, failure_of(error))
                self.work.is_idle = False

    def _take(self, task: Task, answer: Result | NodeError | Interrupted) -> None:
        if isinstance(answer, Interrupted):
            self.interruption, self.is_draining = answer, True
        elif not self.planner.is_expected(task):
            return
        elif isinstance(answer, NodeError):
            self.work.fail(task, answer)
        else:
            try:
                self.work.apply(task, answer)
            except Exception as error:  # noqa: BLE001 - a value that cannot be kept is the node's error
                self.work.fail(task, failure_of(error))

    def _patience(self) -> float | None:
        """Return the seconds until there is something to do though no work has ended; None if there is nothing."""
        if self.is_draining:
            return None
        dues = [self.decisions_due_at] if self.planner.waiting_for(WaitCause.DECISION) else []
        if len(self.nodes) < self.parallel:
            if not self.work.is_idle:
                return 0.0
            due = self.planner.next_due(with_decisions=False)
            dues += [] if due is None else [due]
        return max(0.0, min(dues) - self.clock()) if dues else None

    def _rest(self) -> Outcome | None:
        """Return the job's outcome while no node is running; None to continue."""
        if self.interruption is not None:
            raise self.interruption
        if self.is_draining:
            return Yielded(self._last_state())
        now, due = self.clock(), self.planner.next_due()
        if not self.work.is_idle or (due is not None and due <= now):
            return None
        if self.planner.waiting_for(WaitCause.CHILD):
            return self._await_children()
        if self.planner.waiting_for(WaitCause.DECISION):
            self._keep(RecordState.WAITING)
            return Suspended(self._last_state(), None if due is None else due - now)
        if due is None:
            raise RuntimeError("The run has nothing to do and nothing to wait for.")
        if due - now <= SHORT_WAIT_SECONDS:
            return None
        self._keep(RecordState.WAITING)
        return Snoozed(self._last_state(), due - now)

    def _await_children(self) -> Outcome | None:
        """Submit the child jobs of the nodes that wait for one; return None if a node has failed instead."""
        keys = self.planner.waiting_for(WaitCause.CHILD)[:MAX_CHILDREN]
        fairness = repository.read_fairness(self.context.tenant_id, self.context.job_id)
        children: list[Child] = []
        for key in keys:
            try:
                children.append(child_of(self.work.place_of(key)))
            except Exception as error:  # noqa: BLE001 - whatever a node's work raises is the node's error
                self.work.fail(Task(key, self.graph.nodes[key.node_id]), failure_of(error))
                self.work.is_idle = False
                return None
        self._keep(RecordState.WAITING)
        for child in children:
            self.context.submit_child(child.kind, child.payload, **fairness)
        return AwaitChildren({**self._last_state(), "children": [str(key) for key in keys]})

    def _take_children(self) -> bool:
        """Take the results of the child jobs; return False if some have not ended, because a person resumed the run."""
        children = self.context.blocking.children()
        if not have_ended(children):
            return False
        tenant_id = self.context.tenant_id
        apply_children(self.planner, self.values, children, tenant_id=tenant_id, now=self.clock())
        return True

    def _keep(self, state: RecordState | None = None) -> None:
        """Store the state and the records of the run's pages in one transaction: a safe point."""
        changes = self.planner.take_changes()
        has_failed = self.state.error is not None and "error" not in self.kept
        usage = self.work.take_usage()
        if not (changes or state or has_failed or usage):
            return
        if (cost := total_cost(usage)) is not None:
            self.state.cost = (self.state.cost or 0) + cost
        if has_failed:
            state = RecordState.FAILED
        now = self.clock()
        self.state.active_seconds = self.used_before + time.monotonic() - self.begun_at
        inputs = self.inputs if self.is_new else None
        ended_at = now if state is RecordState.FAILED else None
        run = self.recording.run(state or RecordState.RUNNING, inputs=inputs, ended_at=ended_at)
        nodes = self.recording.nodes(changes, now)
        self.kept = self.values.write_state()
        undo = undoings(self.graph, changes, self.work.reading_of, self.work.refused)
        values, approvals, is_failed = self.values.take_new(), self.work.approvals, self.state.error is not None
        self.work.approvals, self.is_new = [], False
        self.work.refused.clear()

        def write() -> None:
            repository.store(values, approvals)
            save_records(run, nodes)
            record_work(tenant_id=self.context.tenant_id, run_id=self.context.job_id, **undo)
            record_usage(self.context.tenant_id, usage)
            if is_failed:
                repository.end_run(self.context.job_id, keeps_values=True)

        done = sum(step.status.is_ended for key, step in self.state.steps.items() if not key.path)
        self.context.blocking.report_progress(done, len(self.graph.scopes[None]), "nodes")
        self.context.blocking.checkpoint(self.kept, write)

    def _last_state(self) -> dict[str, Any]:
        used = self.used_before + time.monotonic() - self.begun_at
        return {**self.kept, "active_seconds": round(used, 3)}

    def _take_decisions(self) -> None:
        now = self.clock()
        if not self.planner.waiting_for(WaitCause.DECISION) or (now < self.decisions_due_at and self.nodes):
            return
        self.decisions_due_at = now + DECISION_SECONDS
        decisions = repository.read_decisions(self.context.tenant_id, self.context.job_id)
        apply_decisions(self.planner, self.values, decisions, now)

    def _conclude(self) -> Outcome:
        if self.state.error is not None:
            raise self._failure()
        outputs: dict[str, Any] = {}
        for node in self.graph.scopes[None]:
            step = self.state.steps[Key(node.id)]
            if node.type == "end" and step.status is Status.DONE:
                outputs |= self.values.load(step.outputs)
        final = self.recording.run(RecordState.SUCCEEDED, outputs=outputs, ended_at=self.clock())

        def write() -> None:
            save_records(final)
            repository.end_run(self.context.job_id)

        self.context.in_settlement(write)
        is_small = len(str(outputs)) <= MAX_RESULT_CHARACTERS
        facts = {"run": str(self.context.job_id), "steps": self.state.step_count, "tokens": self.state.tokens}
        return Complete({**facts, "outputs": outputs} if is_small else {**facts, "outputs": None, "is_cut": True})

    def _failure(self) -> PermanentError:
        assert self.state.error is not None
        code, message = self.state.error
        return PermanentError(message, code=code)
