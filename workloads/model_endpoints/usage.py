"""Counting of the requests, tokens and cost of models: by tenant and day in PostgreSQL, and in metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from prometheus_client import Counter

from scheduling.observability.metrics import PREFIX
from tenants.database.ids import uuid7
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import execute
from tenants.database.sql import load_sql
from workloads.model_endpoints.endpoints import ModelConfiguration
from workloads.model_endpoints.limits import settle

_SQL = load_sql(__file__)
ADD_USAGE: Final = _SQL["add_usage"]
# Labels in place of names that are private or unbounded: of tenants' models, and of others at the platform's endpoint.
_OF_TENANTS, _OTHERS = "(of a tenant)", "(other)"
REQUESTS = Counter("model_requests", "Answered requests to models.", ["model"], namespace=PREFIX)
TOKENS = Counter("model_tokens", "Tokens of models, input and output.", ["model", "direction"], namespace=PREFIX)
COST = Counter("model_cost", "Cost of models by their prices, in MODEL_CURRENCY.", ["model"], namespace=PREFIX)


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """A request that a model has answered. ``admitted`` tokens were taken for it from the limits of a minute.

    It is None for a request that was sent without being admitted, such as one for a corrected answer.
    """

    model: ModelConfiguration
    prompt_tokens: int
    completion_tokens: int
    admitted: int | None = None

    @property
    def cost(self) -> Decimal | None:
        """Return the price of the request's tokens; None if no price is known."""
        return self.model.cost(self.prompt_tokens, self.completion_tokens)


def total_cost(requests: Iterable[AnsweredRequest]) -> Decimal | None:
    """Return the sum of the known costs of requests; None if none is known."""
    costs = [cost for one in requests if (cost := one.cost) is not None]
    return sum(costs, Decimal()) if costs else None


def record_usage(tenant_id: UUID, requests: Sequence[AnsweredRequest]) -> None:
    """Add requests to the tenant's usage of today, in the current transaction: one row for each model.

    When it commits, they are added to the metrics, and the limits of a minute corrected by what the answers counted.
    """
    rows: list[dict[str, Any]] = []
    # Sorted, so that all writers lock the rows in one order.
    for (endpoint, model), group in groupby(sorted(requests, key=_key), key=_key):
        ones = list(group)
        cost = total_cost(ones)
        rows.append(
            {
                "id": str(uuid7()),
                "endpoint": endpoint,
                "model": model,
                "requests": len(ones),
                "prompt_tokens": sum(one.prompt_tokens for one in ones),
                "completion_tokens": sum(one.completion_tokens for one in ones),
                "cost": None if cost is None else str(cost),
            }
        )
    if rows:
        execute(ADD_USAGE, {"tenant_id": tenant_id, "rows": json.dumps(rows)}, is_planned=True)
        transaction.on_commit(partial(_count_usage, requests))


def _count_usage(requests: Sequence[AnsweredRequest]) -> None:
    for one in requests:
        settle(one.model, admitted=one.admitted, tokens=one.prompt_tokens + one.completion_tokens)
        label = _label(one.model)
        REQUESTS.labels(label).inc()
        TOKENS.labels(label, "input").inc(one.prompt_tokens)
        TOKENS.labels(label, "output").inc(one.completion_tokens)
        COST.labels(label).inc(float(one.cost or 0))


def _label(model: ModelConfiguration) -> str:
    if not model.is_shared:
        return _OF_TENANTS
    return model.model if model.model == platform_settings.LLM_MODEL else _OTHERS


def _key(request: AnsweredRequest) -> tuple[str, str]:
    return request.model.endpoint, request.model.model
