"""Changes of the priority of waiting jobs, and so of their order among the jobs of the same tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from scheduling.dispatch.broker import wake_on_commit
from scheduling.jobs.storing import actor_label
from tenants.context import current_actor
from tenants.database.ids import uuid7s
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

EVENT = "job.reprioritised"
_SET_PRIORITIES = load_sql(__file__)["set_priorities"]


def set_priorities(priorities: Mapping[UUID, int], *, reason: str) -> dict[UUID, int]:
    """Set the priorities of waiting and suspended jobs of the current tenant context.

    Return the former priorities of the changed jobs. Skip jobs that have their priority already or no longer wait.
    """
    if not priorities:
        return {}
    actor = current_actor()
    values: dict[str, Any] = {
        "job_ids": list(priorities),
        "priorities": list(priorities.values()),
        "event_ids": uuid7s(len(priorities)),
        "ageing_us": int(platform_settings.AGEING_SECONDS * 1_000_000),
        "event": EVENT,
        "actor": actor_label(actor),
        "request_id": actor.request_id,
        "data": Jsonb({"reason": reason} if reason else {}),
    }
    formers = {row.id: row.former for row in fetch_all(_SET_PRIORITIES, values)}
    if formers:
        wake_on_commit()
    return formers
