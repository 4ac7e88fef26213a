"""The history of jobs: one row a change, written in the transaction of the change."""

from __future__ import annotations

from tenants.context import Actor

SYSTEM_ACTOR = "system"


def actor_label(actor: Actor) -> str:
    """Return the actor as history stores it: ``kind:label``, or ``system``."""
    return SYSTEM_ACTOR if actor.kind == "system" else f"{actor.kind}:{actor.label or actor.id}"[:200]
