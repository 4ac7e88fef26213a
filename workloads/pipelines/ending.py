"""The end of runs and entities. The processor ends them, or upkeep if their job ended without running its code."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from psycopg.rows import scalar_row

from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from workloads.files.store import discard_on_commit
from workloads.pipelines.models import OPEN_ENTITIES, EntityState, PipelineEntity, PipelineRun

_END_RUNS = load_sql(__file__)["end_runs"]


def close_entities(entities: QuerySet[Any], *, state: EntityState, code: str, message: Any) -> int:
    """End those of the entities that are open, with this state, error code and stored message. Return how many."""
    ended: int = entities.filter(state__in=OPEN_ENTITIES).update(
        state=state, ended_at=Now(), error_code=code[:64], error_message=message
    )
    return ended


def end_runs(run_ids: Collection[UUID]) -> int:
    """End those of the runs that have no open entity, and release their intermediate files. Return how many ended.

    The rows of the runs are locked first: of two jobs that end the last entities of a run, the second reads what the
    first has written.
    """
    runs = list(run_ids)
    list(PipelineRun.objects.select_for_update(no_key=True).filter(pk__in=runs).order_by("pk").values_list("pk"))
    ended = fetch_all(_END_RUNS, {"runs": runs}, scalar_row, is_planned=True)
    if ended:
        _release(PipelineEntity.objects.filter(run_id__in=ended))
    return len(ended)


def _release(entities: QuerySet[Any]) -> None:
    """Drop references to passages, and to content that can be fetched again.

    An uploaded file stays until its entity is completed, since the upload itself may be deleted.
    """
    spent = Q(state=EntityState.COMPLETED) | ~Q(source__type="file")
    let_go = set(entities.exclude(passages_key="").values_list("tenant_id", "passages_key"))
    let_go |= set(entities.filter(spent).exclude(content_key="").values_list("tenant_id", "content_key"))
    entities.exclude(passages_key="").update(passages_key="", passages_sha256="")
    entities.filter(spent).exclude(content_key="").update(content_key="", content_sha256="")
    for tenant_id, key in sorted(let_go):
        discard_on_commit(tenant_id, key)
