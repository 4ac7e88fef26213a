"""Shedding under load: which new jobs are refused or delayed, in which order, and which features are off."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from scheduling.fairness.admission import WHOLE, adjust
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import rank_of
from scheduling.load.exceptions import FeatureOffError, OverloadedError
from scheduling.load.models import Action, Feature
from scheduling.load.queries import LoadView, Policy, current_load
from scheduling.load.rules import CALM, Level, level_of
from scheduling.models import Job
from scheduling.signals import jobs_shed

# A refused client is asked to return after a time between these, so that not all return at once.
RETRY_SECONDS = (5, 15)
# The key of the metadata that tells by how much a job was delayed.
DELAYED = "delayed_by_load_seconds"


def shed(job: Job, load: LoadView | None, *, tier: str, now: datetime) -> None:
    """Delay a new job if a rule says so at the present load; raise OverloadedError if it is refused.

    Without a load, as for jobs of the platform itself, nothing is shed.
    """
    if load is None:
        return
    level = load.level_of_pool(job.queue.pool_id)
    covering = (rule for rule in load.policies if rule.covers(job.kind, tier) and level >= rule.from_level)
    policy = next(covering, None)
    if policy is None:
        return
    is_refused = policy.action == Action.REFUSE and not _is_admitted(load, job, tier)
    is_delayed = policy.action == Action.DELAY and _delay(job, now + timedelta(seconds=policy.delay_seconds))
    if not is_refused and not is_delayed:
        return
    jobs_shed.send(sender=None, kind=job.kind, tier=tier, action=policy.action)
    if is_refused:
        raise OverloadedError(
            "The platform is overloaded, and accepts no jobs of the tier %(tier)s for now.",
            {"tier": tier},
            retry_after_seconds=random.randint(*RETRY_SECONDS),  # noqa: S311 - no secret
        )


def _is_admitted(load: LoadView, job: Job, tier: str) -> bool:
    return random.uniform(0, WHOLE) < load.admitted(job.queue.pool_id, tier)  # noqa: S311 - no secret


def _delay(job: Job, until: datetime) -> bool:
    """Return whether the job now runs later than it was to."""
    if job.run_at >= until:
        return False
    job.meta = {**job.meta, DELAYED: round((until - job.run_at).total_seconds())}
    job.run_at, job.state, job.rank = until, JobState.SCHEDULED, rank_of(until, job.priority)
    return True


def refuse_if_off(name: str) -> None:
    """Raise FeatureOffError if a rule switches the feature off at the present load of the platform or of any pool."""
    load = current_load()
    if is_off(load, name):
        raise FeatureOffError(
            "%(feature)s is switched off while the platform is under load.",
            {"feature": Feature(name).label},
            retry_after_seconds=RETRY_SECONDS[1],
        )


def is_off(load: LoadView, name: str) -> bool:
    """Return whether a rule switches the feature off."""
    worst = max(load.levels.values(), default=Level.NORMAL)
    return any(
        rule.action == Action.OFF and rule.feature == name and worst >= rule.from_level for rule in load.policies
    )


def next_admitted(
    admitted: Mapping[str, int],
    signals: Mapping[str, float],
    forced: Level | None,
    policies: Iterable[Policy],
    tiers: Sequence[str],
    elapsed: float,
) -> dict[str, int]:
    """Return the part of each tier's jobs that is accepted from now on. ``tiers`` are in order, the lowest first."""
    level = level_of(signals) if forced is None else forced
    uneasy = level_of(signals, margin=CALM) if forced is None else forced
    refusing = [rule for rule in policies if rule.action == Action.REFUSE]
    pressed, relaxed = _refused_at(level, refusing, tiers), _refused_at(uneasy, refusing, tiers)
    return adjust(admitted, pressed, [tier for tier in tiers if tier not in relaxed], seconds=elapsed)


def _refused_at(level: Level, rules: Iterable[Policy], tiers: Sequence[str]) -> list[str]:
    acting = [rule for rule in rules if level >= rule.from_level]
    return [tier for tier in tiers if any(rule.tier in ("", tier) for rule in acting)]
