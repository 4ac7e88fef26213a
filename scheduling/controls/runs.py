"""Controls of a run: the hosts that a job may call, and its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from scheduling.controls.holds import Failure, record_failures
from scheduling.controls.rules import Checkpoint, Facts, Terms, allows_host
from scheduling.execution.settlement import Settlement
from scheduling.execution.start import StartedExecution
from scheduling.kit.runtime import host_check
from scheduling.worker.process_state import retry_on_disconnect
from tenants.context import tenant_context

_PATIENCE_SECONDS = 60.0
# The most refused hosts of a run that its audit entry names.
_MOST_HOSTS = 20


@dataclass(slots=True)
class RunCheck:
    """The controls of one run: the failed ones with the refused hosts, and those of its end."""

    started: StartedExecution
    effects: Sequence[Terms]
    ends: Sequence[Terms]
    failed: dict[str, Terms] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)

    def allows(self, host: str) -> bool:
        """Return whether the job may call a host."""
        failed = [terms for terms in self.effects if not allows_host(terms.parameters["hosts"], host)]
        self.failed |= {terms.id: terms for terms in failed}
        if failed and len(self.hosts) < _MOST_HOSTS:
            self.hosts[host] = None
        return not failed

    def finish(self, settlement: Settlement | None) -> None:
        """Check the result of the run, which is settled unchanged, and write an audit entry if a control has failed."""
        one = self.started
        if settlement is not None and self.ends:
            facts = Facts(one.kind, one.tenant_id, one.started_at, document=settlement.result)
            self.failed |= {terms.id: terms for terms in self.ends if terms.fails(facts)}
        if self.failed:
            retry_on_disconnect(self._record, give_up_after_seconds=_PATIENCE_SECONDS)

    def _record(self) -> None:
        failure = Failure(self.started.job_id, self.started.tenant_id, list(self.failed.values()))
        with tenant_context(self.started.tenant_id):
            record_failures([failure], **({"hosts": list(self.hosts)} if self.hosts else {}))


@contextmanager
def checked_run(started: StartedExecution) -> Iterator[RunCheck]:
    """Check the hosts that the job calls in the block. The caller finishes the check with the settlement."""
    about = started.kind, started.tenant_id
    effects, ends = (started.controls.covering(when, *about) for when in (Checkpoint.EFFECT, Checkpoint.END))
    check = RunCheck(started, effects, ends)
    token = host_check.set(check.allows if check.effects else None)
    try:
        yield check
    finally:
        host_check.reset(token)
