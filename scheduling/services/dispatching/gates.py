"""Gates: what stands before single jobs of a tenant while its other jobs may start.

A job behind a gate is set aside in ``job_held`` under the gate's name when a tick meets it, so that it hides nobody,
and comes back in its old order when the gate opens. Gates are asked in one order, so that a job has one at a time.
"""

from __future__ import annotations

import json

from scheduling.processors import registry
from scheduling.selectors.announced_kinds import UNKNOWN
from scheduling.selectors.circuits import any_circuit, circuit_before

KIND, CIRCUIT, MEMORY = "kind", "circuit", "memory"

# The gate before a ready row ``r`` in the pool of id ``pool_id``, as SQL; NULL where none stands.
_GATE = f"""CASE
    WHEN EXISTS (SELECT FROM scheduling_kindpause k WHERE k.kind = r.kind) THEN '{KIND}'
    WHEN (SELECT NOT p.kinds ? r.kind FROM scheduling_workerpool p WHERE p.id = <pool_id>)
        THEN '{UNKNOWN} ' || <pool_id>
    WHEN (%(needs)s::jsonb ->> r.kind)::int > (SELECT p.memory_mib FROM scheduling_workerpool p WHERE p.id = <pool_id>)
        THEN '{MEMORY} ' || <pool_id>
    WHEN {any_circuit()} THEN '{CIRCUIT} ' || {circuit_before("r.job_id")}
END"""  # noqa: S608 - constants

# The jobs ``h`` that stand behind the breaker ``c``, as SQL; the second line is what the index is for.
BEHIND = f"""h.gate = '{CIRCUIT} ' || c.id
    AND h.gate >= '{CIRCUIT}' AND h.gate < '{KIND}'"""
# Whether any does. OFFSET keeps it a probe of the index for each breaker, which no plan turns into a read of all that
# is set aside.
HOLDS_JOBS = f"EXISTS (SELECT FROM scheduling_job_held h WHERE {BEHIND} OFFSET 0)"


def gate_before(pool_id: str) -> str:
    """The gate's name as SQL over a ready row ``r``; ``pool_id`` is SQL too. It takes the parameter ``needs``."""
    return _GATE.replace("<pool_id>", pool_id)


def memory_needs() -> str:
    """What kinds need beyond the least class, as JSON: {kind: MiB}."""
    return json.dumps(registry.memory_needs())
