"""Run of the soak test: start, load, faults row after row, drain, and final checks."""

from __future__ import annotations

import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from django.db import connections

from benchmarks.harness.outcome import describe_load, describe_machine, today
from tenants.tenancy.service import create_tenant
from tests.chaos.checks import judge
from tests.chaos.load import Load, Traffic
from tests.chaos.results import HISTORY, write_history
from tests.chaos.row import Field, Row, bound_factor
from tests.chaos.rows import ROWS
from tests.chaos.running import describe_error
from tests.chaos.soak.drawing import Draw, shared_rows
from tests.chaos.soak.load import ClientLog, TenantLoad
from tests.chaos.soak.proof import count_outcomes, count_states, drain, find_losses, verify
from tests.chaos.soak.sampling import Sampler, Samples
from tests.chaos.soak.stack import HOME, SoakStack
from tests.chaos.terms import Terms
from tests.keys import issue_api_key

PLANS = ("professional", "professional", "team", "sandbox")
# The first fault comes when all processes have begun their work.
FIRST_FAULT_SECONDS = 30.0
BETWEEN_FAULTS = (3.0, 8.0)
# Parts of the run: first rows with processes of their own, then rows with the standard ones, then load alone.
FOREIGN_PART, FAULTY_PART = 0.4, 0.65
# Growth counts from here on: the last faults, then load alone for processes restarted last.
COUNTED_PART = 0.5
LOOK_SECONDS = 1.0
# Least wait of a row for starts: after an outage its jobs are behind those that clients sent meanwhile.
BACKLOG_SECONDS = 240.0
HEALTH_SECONDS = 60.0
_DISABLE = "UPDATE scheduling_schedule SET is_enabled = false, next_fire_at = NULL"


@dataclass(frozen=True, slots=True)
class Injected:
    """Past fault: its row, its duration, and the recoveries measured by the row."""

    row: type[Row]
    seconds: float
    recoveries: Sequence[float]


@dataclass(slots=True)
class Soak:
    """Results of a run."""

    minutes: float
    seed: int
    samples: Samples = field(default_factory=Samples)
    injected: list[Injected] = field(default_factory=list)
    shared: int = 0
    accepted: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    refused_connections: int = 0
    states: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    drained_seconds: float | None = None
    verified: Sequence[tuple[str, str]] = ()
    violations: list[str] = field(default_factory=list)
    measured_on: str = ""

    @property
    def counts_since(self) -> float:
        """Return the end of the warm-up in seconds."""
        return self.minutes * 60 * COUNTED_PART


def soak(stack: SoakStack, *, minutes: float, seed: int) -> Soak:
    """Run ``minutes`` of load and faults, and check the final state."""
    result = Soak(minutes, seed)
    try:
        stack.start_servers()
        stack.start_processes()
        run = _Run(stack, result)
        run.live()
        run.conclude()
    finally:
        stack.stop()
    return result


class _Run:
    def __init__(self, stack: SoakStack, result: Soak) -> None:
        self.stack, self.result = stack, result
        self.rng = random.Random(result.seed)
        rows = shared_rows(ROWS)
        result.shared = len(rows)
        self.draw = Draw(rows, self.rng)
        self.loads = self._make_loads()
        self.present: Row | None = None
        self.terms = Terms(caps=stack.caps, may_cancel=True, factor=max(2.0, bound_factor()))

    def _make_loads(self) -> list[TenantLoad]:
        """Return the loads of further tenants, which run a mixture; only their final state is checked."""
        tenants = [create_tenant(slug=f"soak-{number}", plan=plan) for number, plan in enumerate(PLANS)]
        return [
            TenantLoad(
                f"http://127.0.0.1:{self.stack.front_port}",
                issue_api_key(tenant=tenant, name="soak").token,
                self.result.seed * 100 + number,
                makes_trouble=number < 2,
            )
            for number, tenant in enumerate(tenants)
        ]

    # Load and faults --------------------------------------------------------------------------------------

    def live(self) -> None:
        """Run the load throughout, and faults in the first part."""
        stack, samples = self.stack, Samples()
        self.result.samples = samples
        assert stack.witness is not None
        stack.witness.start()
        sampler = Sampler(stack, samples)
        for thread in (sampler, *self.loads):
            thread.start()
        until, next_fault = self.result.minutes * 60, FIRST_FAULT_SECONDS
        calm = self._begin_load(Traffic())
        while samples.seconds < until:
            if next_fault <= samples.seconds < until * FAULTY_PART:
                calm.stop()
                self._inject(self.draw.next_row(at_home=samples.seconds > until * FOREIGN_PART))
                calm = self._begin_load(Traffic())
                next_fault = samples.seconds + self.rng.uniform(*BETWEEN_FAULTS)
            elif self.present is not None and samples.seconds >= until * FAULTY_PART:
                self._go_home()
            stack.until(lambda: True, within=LOOK_SECONDS, what="all runs")
            time.sleep(LOOK_SECONDS)
        calm.stop()
        stack.witness.stop_submitting()
        sampler.stop()
        for load in self.loads:
            load.stop()
        for load in self.loads:
            load.join()

    def _begin_load(self, traffic: Traffic) -> Load:
        assert self.stack.client is not None
        load = Load(self.stack.client, [tenant.pk for tenant in self.stack.tenants], traffic, self.rng)
        load.start()
        return load

    def _inject(self, row_class: type[Row]) -> None:
        row, samples, began = row_class(), self.result.samples, time.monotonic()
        samples.note_fault()
        field_ = Field(self.stack, random.Random(self.rng.random()), row.bound_seconds, BACKLOG_SECONDS)
        recoveries: list[float] = []
        try:
            self._deploy(row)
            recoveries = self._under_load(row, field_)
        except Exception as error:  # noqa: BLE001 - a fault of this row; its remains are checked all the same
            traceback.print_exc()
            self.result.violations.append(f"{row.id}: {describe_error(error)}")
        self.result.violations += [f"{row.id}: {words}" for words in field_.violations]
        self.stack.heal()
        terms = row.terms(self.stack)
        self.terms = replace(
            self.terms, fires={**self.terms.fires, **terms.fires}, may_end=self.terms.may_end | terms.may_end
        )
        samples.note_fault()
        done = Injected(row_class, time.monotonic() - began, recoveries)
        self.result.injected.append(done)
        worst = f"recovered in {max(recoveries):.2f} s" if recoveries else "no recovery measured"
        _print(f"{samples.seconds:5.0f} s  {row.id} took {done.seconds:.0f} s, {worst}: {row.fault}")

    def _under_load(self, row: Row, field_: Field) -> list[float]:
        """Inject a row under its own traffic; if it has none, pause the other tenants too."""
        if row.traffic is not None:
            load = self._begin_load(row.traffic)
            try:
                return row.inject(field_)
            finally:
                load.stop()
        for tenant in self.loads:
            tenant.pause()
        try:
            return row.inject(field_)
        finally:
            for tenant in self.loads:
                tenant.resume()

    def _deploy(self, row: Row) -> None:
        """Deploy the processes of a row; remove the previous row's proxies once unused."""
        before, self.present = self.present, row
        try:
            self.stack.take_shape(row.shape, row.prepare)
        finally:
            if before is not None:
                before.tear_down()

    def _go_home(self) -> None:
        self.stack.take_shape(HOME)
        if self.present is not None:
            self.present.tear_down()
        self.present = None

    # Conclusion -------------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """Drain, and check the final state."""
        stack, result = self.stack, self.result
        _print("draining")
        stack.view.run(_DISABLE)
        connections.close_all()
        assert stack.client is not None
        assert stack.witness is not None
        client = stack.client
        stack.until(lambda: client.repeat_unanswered() == 0, within=120, what="every request is answered")
        result.drained_seconds = drain(stack)
        if result.drained_seconds is None:
            result.violations.append("not drained in time")
        witness = stack.witness
        stack.until(lambda: witness.is_satisfied, within=HEALTH_SECONDS, what="health is ready")
        witness.stop()
        logs = [load.log for load in self.loads]
        self._count(logs)
        result.verified = list(verify())
        result.measured_on = f"Measured on {today()}: {describe_machine()}; {describe_load()}."
        result.violations += find_losses({job_id for log in logs for job_id in log.accepted})
        result.violations += [f"{name}: {objection}" for name, objection in result.verified if objection]
        result.violations += [fault for log in logs for fault in log.faults]
        self._judge()

    def _count(self, logs: Sequence[ClientLog]) -> None:
        result, client = self.result, self.stack.client
        assert client is not None
        own = sum(bool(request.job_ids) for request in client.requests)
        result.accepted = own + len({job_id for log in logs for job_id in log.accepted})
        result.answers = sum((log.answers for log in logs), Counter())
        result.refused_connections = sum(log.refused_connections for log in logs)
        result.states, result.outcomes = count_states(), count_outcomes()

    def _judge(self) -> None:
        """Apply all checks of rows to the jobs of the rows' tenants."""
        stack = self.stack
        assert stack.client is not None
        assert stack.witness is not None
        history = stack.view.history(stack.client.requests, probes=stack.witness.probes, processes=stack.processes())
        own = {request.tenant_id for request in history.requests}
        history = replace(
            history,
            events=[event for event in history.events if event.tenant_id in own],
            effects=[effect for effect in history.effects if effect.tenant_id in own],
        )
        faults = judge(history, self.terms)
        if faults:
            write_history(history, stack.folder / HISTORY)
        self.result.violations += faults


def _print(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
