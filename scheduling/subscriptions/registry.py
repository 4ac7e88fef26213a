"""Registry of subscriptions: ``job_subscriptions`` of an AppConfig names the function that reads the app's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final
from uuid import UUID

from django.apps import apps
from django.utils.module_loading import import_string

from scheduling.jobs.filters import FilterSyntaxError
from scheduling.jobs.filters.matching import FilterNotMatchableError, parse_matchable
from scheduling.jobs.lifecycle import JobState
from tenants.translation import LocalizableText

# By the new state of the job. A retry follows a failed attempt.
EVENT_OF_STATE: Final[Mapping[str, str]] = {
    JobState.COMPLETED.value: "job.completed",
    JobState.DISCARDED.value: "job.discarded",
    JobState.QUARANTINED.value: "job.quarantined",
    JobState.CANCELLED.value: "job.cancelled",
    JobState.RETRYABLE.value: "job.retrying",
}
JOB_EVENTS: Final = tuple(EVENT_OF_STATE.values())
MAX_FILTER_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSubscription:
    """Subscription of a webhook (``target``) to events of its tenant's jobs after ``since`` that match its filter."""

    tenant_id: UUID
    target: UUID
    events: frozenset[str]
    filter_text: str
    since: datetime


type Reader = Callable[[], Iterable[EventSubscription]]


def subscriptions_by_tenant() -> Mapping[UUID, Sequence[EventSubscription]]:
    """Return the subscriptions of all tenants by tenant id, sorted by target, with one query for each app."""
    found: dict[UUID, list[EventSubscription]] = defaultdict(list)
    for read in _readers():
        for subscription in read():
            found[subscription.tenant_id].append(subscription)
    return {tenant_id: sorted(own, key=lambda each: each.target) for tenant_id, own in found.items()}


def read_subscription_filter(text: str) -> str:
    """Return a filter's text in canonical form.

    Raise FilterSyntaxError, or FilterNotMatchableError if it cannot be applied to single events.
    """
    if len(text) > MAX_FILTER_CHARACTERS:
        raise FilterSyntaxError(
            LocalizableText("A filter has at most %(limit)s characters.", {"limit": f"{MAX_FILTER_CHARACTERS:,}"}),
            position=MAX_FILTER_CHARACTERS,
        )
    try:
        return parse_matchable(text).text
    except (FilterSyntaxError, FilterNotMatchableError) as refusal:
        refusal.errors = [{**fault, "field": "filter"} for fault in refusal.errors]
        raise


@cache
def _readers() -> Sequence[Reader]:
    paths = [getattr(config, "job_subscriptions", "") for config in apps.get_app_configs()]
    return [import_string(path.replace(":", ".")) for path in paths if path]
