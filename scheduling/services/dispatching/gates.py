"""Gates: what stands before single jobs of a tenant while its other jobs may start.

A job behind a gate is set aside in ``job_held`` under the gate's name when a tick meets it, so that it hides nobody,
and comes back in its old order when the gate opens. Gates are asked in one order, so that a job has one at a time.
"""

from __future__ import annotations

import json

from scheduling.processors import registry

KIND, CIRCUIT, MEMORY = "kind", "circuit", "memory"

# The gate before a ready row ``r`` in the pool of id ``pool_id``, as SQL; NULL where none stands.
_GATE = f"""CASE
    WHEN EXISTS (SELECT FROM scheduling_kindpause k WHERE k.kind = r.kind) THEN '{KIND}'
    WHEN (%(needs)s::jsonb ->> r.kind)::int > (SELECT p.memory_mib FROM scheduling_workerpool p WHERE p.id = <pool_id>)
        THEN '{MEMORY} ' || <pool_id>
    WHEN EXISTS (SELECT FROM scheduling_circuit c WHERE c.tenant_id = r.tenant_id AND c.kind = r.kind
        AND c.state IN ('open', 'half_open') AND c.probe_job_id IS DISTINCT FROM r.job_id) THEN '{CIRCUIT}'
END"""  # noqa: S608 - constants

# Whether a job stands behind the breaker ``c``, as SQL. OFFSET keeps it a probe of the index for each breaker, which
# no plan turns into a read of all that is set aside.
HOLDS_JOBS = f"""EXISTS (SELECT FROM scheduling_job_held h
    WHERE h.gate = '{CIRCUIT}' AND h.tenant_id = c.tenant_id AND h.kind = c.kind OFFSET 0)"""


def gate_before(pool_id: str) -> str:
    """The gate's name as SQL over a ready row ``r``; ``pool_id`` is SQL too. It takes the parameter ``needs``."""
    return _GATE.replace("<pool_id>", pool_id)


def memory_needs() -> str:
    """What kinds need beyond the least class, as JSON: {kind: MiB}."""
    return json.dumps(registry.memory_needs())
