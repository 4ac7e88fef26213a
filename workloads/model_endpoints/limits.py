"""Limits of models: requests and tokens for each minute, shared by all workers, and tokens for each month.

The limits of a minute are token buckets in Redis; they start full and are refilled evenly. A request is admitted with
an estimate of its tokens, and `settle` corrects the buckets by what the answer counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from scheduling.fairness.gcra import Rate
from scheduling.kit.base import PermanentError
from scheduling.limits.rate_buckets import Bucket, adjust, take_whole
from tenants.context import tenant_context
from tenants.settings.schema import settings_of
from workloads.model_endpoints.answers import CHARACTERS_PER_TOKEN
from workloads.model_endpoints.endpoints import ModelConfiguration
from workloads.model_endpoints.lookup import tokens_of_month
from workloads.model_endpoints.tenant_settings import PLATFORM_TOKENS

_MICROSECONDS: Final = 1_000_000


def estimate_tokens(messages: Sequence[Mapping[str, str]], options: Mapping[str, object]) -> int:
    """Return about how many tokens a chat will take: a quarter of its characters, and the longest answer it allows."""
    characters = sum(len(message.get("content", "")) for message in messages)
    longest = options.get("max_completion_tokens") or options.get("max_tokens") or 0
    return characters // CHARACTERS_PER_TOKEN + (longest if isinstance(longest, int) else 0)


def admit(tenant_id: UUID, model: ModelConfiguration, tokens: int) -> float:
    """Take a request of so many tokens from the model's limits; return 0, or the seconds to wait if a limit is reached.

    A request of more tokens than a minute allows waits for a full bucket. Raise `PermanentError` if the tokens of the
    month do not suffice.
    """
    require_tokens(model, tokens, left=tokens_left(tenant_id, model))
    return take(model, tokens)


def take(model: ModelConfiguration, tokens: int) -> float:
    """Take a request from the limits of a minute, without the database; return as `admit` does."""
    requests = _buckets(model, "requests")
    if wait := _take(requests, 1):
        return wait
    if wait := _take(_buckets(model, "tokens"), tokens):
        adjust(requests, -1)
        return wait
    return 0.0


def settle(model: ModelConfiguration, *, admitted: int | None, tokens: int) -> None:
    """Correct the limits of a minute after an answer of so many tokens, for which ``admitted`` were taken.

    If that is None, the request was not admitted: it is taken now, as far as the limits go.
    """
    if admitted is None and (requests := _buckets(model, "requests")):
        adjust(requests, 1)
    if buckets := _buckets(model, "tokens"):
        taken = min(admitted or 0, *(bucket.rate.burst for bucket in buckets))
        adjust(buckets, tokens - taken)


def tokens_left(tenant_id: UUID, model: ModelConfiguration) -> int | None:
    """Return how many tokens a tenant may use of a model until the end of the month; None if there is no limit."""
    limit = settings_of(tenant_id)[PLATFORM_TOKENS.key] if model.is_shared else model.tokens_per_month
    if not limit:
        return None
    with tenant_context(tenant_id):
        return int(limit) - tokens_of_month(model.endpoint, "" if model.is_shared else model.model)


def require_tokens(model: ModelConfiguration, tokens: int, *, left: int | None) -> None:
    """Raise `PermanentError` if a request takes more tokens than the month has left, before it is sent."""
    if left is None or tokens <= left:
        return
    name = "The platform's model endpoint" if model.is_shared else f"The model {model.endpoint}/{model.model}"
    raise PermanentError(
        f"{name} has {max(0, left):,} tokens of this month's limit left, and this request takes about {tokens:,}. "
        "Raise the limit, name another model, or wait for the next month.",
        code="model_limit_reached",
    )


def _buckets(model: ModelConfiguration, what: str) -> list[Bucket]:
    allowed = [(one.scope, getattr(one, what)) for one in model.rates]
    rates = [(scope, Rate.per_minute(number, number)) for scope, number in allowed if number]
    return [Bucket(f"model:{scope}:{what}", rate) for scope, rate in rates if rate is not None]


def _take(buckets: Sequence[Bucket], wanted: int) -> float:
    """Take tokens from all buckets or from none; return 0, or the seconds until all of them have as many."""
    if not buckets or wanted <= 0:
        return 0.0
    wanted = min(wanted, *(bucket.rate.burst for bucket in buckets))
    grants = take_whole(buckets, wanted)
    if grants[0].granted == wanted:
        return 0.0
    missing_us = (
        grant.backlog_us + wanted * bucket.rate.interval_us - bucket.rate.horizon_us
        for grant, bucket in zip(grants, buckets, strict=True)
    )
    return max(1, *missing_us) / _MICROSECONDS
