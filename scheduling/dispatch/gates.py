"""Gates: what stands before single jobs of a tenant while its other jobs may start.

A job behind a gate is set aside in ``job_held`` under the gate's name when a tick meets it, so that it hides no other,
and comes back in its old order when the gate opens. A job has one gate at a time: the first of the fragment
``gate_before``.
"""

from __future__ import annotations

import json

from scheduling.kit import registry


def memory_needs() -> str:
    """Return what kinds need beyond the least class, as JSON: {kind: MiB}."""
    return json.dumps(registry.memory_needs())
