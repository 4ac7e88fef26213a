"""Take-back: executions that wait in a list although they should not begin any more become available again.

No worker takes part. An execution that has not begun has the fence of its dispatch, under which the settlement returns
it; its child then passes it over. One that begins first is left alone. No attempt counts, the charge is corrected to
nothing at the weight at which it was made, and the place is free once nothing of the list is left. A list takes no
tokens of a rate, so there are none to give back.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import OperationalError
from django.utils.translation import gettext_noop
from psycopg.rows import namedtuple_row, scalar_row

from scheduling.conf import AHEAD_US, BY_INDEX, TICK_JOBS
from scheduling.dispatch.locked import is_lock_timeout
from scheduling.dispatch.tick import TICK_SETTINGS
from scheduling.execution.settlement import settle_here
from scheduling.execution.settlement_builders import returned
from tenants.context import all_tenants, query_cross_tenant
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

logger = logging.getLogger(__name__)

# A slot that is free within this time can be claimed now, as after the announcement of an end.
SOON_US = 25_000

_SQL = load_sql(__file__)
_FIND, _LOCK = _SQL["find_take_backs"], _SQL["lock_waiting"]
_CAUSES = {
    "tenant": gettext_noop("the tenant was paused or suspended"),
    "queue": gettext_noop("the queue was paused"),
    "pool": gettext_noop("the worker pool was paused or drained"),
    "worker": gettext_noop("the worker was drained"),
    "kind": gettext_noop("the job kind was paused"),
    "circuit": gettext_noop("a circuit breaker opened"),
    "cap": gettext_noop("a concurrency limit was lowered"),
    "order": gettext_noop("another tenant came first"),
}


@dataclass(frozen=True, slots=True)
class TakenBack:
    """How many executions were taken back, and the tokens of messages whose slots are free soon because of that."""

    count: int = 0
    ending: Collection[UUID] = ()


def take_back_held(pool_id: int) -> TakenBack:
    """Return waiting executions of the pool's lists whose tenant, queue, pool, worker or kind was stopped, or that a
    tenant with less virtual time precedes.

    Call it after a tick, outside its transaction: children wait for rows that are locked here.
    """
    values = {"pool_id": pool_id, "ahead_us": AHEAD_US, "soon_us": SOON_US, "limit": TICK_JOBS}
    found = query_cross_tenant(_FIND, values, settings=BY_INDEX, row_factory=namedtuple_row)
    if not found:
        return TakenBack()
    try:
        with all_tenants(TICK_SETTINGS):
            # Others stop no take-back but their own: a later tick looks again.
            free = set(fetch_all(_LOCK, {"execution_ids": [row.execution_id for row in found]}, scalar_row))
            taken = [row for row in found if row.execution_id in free]
            if taken:
                causes = [returned(row.execution_id, row.fence, cause=_CAUSES[row.cause]) for row in taken]
                settle_here(causes, actor="system")
    except OperationalError as error:
        # Of rows of its tenant that a settlement writes.
        if not is_lock_timeout(error):
            raise
        return TakenBack()
    logger.info("lists.taken_back", extra={"pool_id": pool_id, "causes": Counter(row.cause for row in taken)})
    kept = {row.token for row in found if row.execution_id not in free}
    return TakenBack(len(taken), {row.token for row in taken if row.is_free_soon} - kept)
