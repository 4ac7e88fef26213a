"""What-if panel of the plan editors: replays the last hour with the form's values beside the present settings.

The values are taken as typed, whether saved or not; a value that is not a valid number is reported.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from scheduling.fairness.lab import OrderPolicy
from scheduling.fairness.lab.load import Change
from scheduling.fairness.lab.what_if import MOST_AFFECTED, ComparedShare, WhatIf
from scheduling.models import CFSPlan, CFSPlanTier, Queue
from scheduling.plans.models import tier_key
from scheduling.what_if.queries import answer_what_if
from tenants.exceptions import DomainError
from tenants.models import Plan

PANEL_TEMPLATE = "scheduling/dashboards/parts/what_if.html"
MOST_WEIGHT, MOST_CAP, MOST_SECONDS = 1_000, 100_000, 86_400
MOST_ROWS = 200
POLICIES = {CFSPlan.Strategy.NOP.value: OrderPolicy.FIFO, CFSPlan.Strategy.TIME_SLICE.value: OrderPolicy.TIME_SLICE}
# Limits of submissions and of the month are not replayed: the replay contains only jobs that were accepted.
NOT_REPLAYED_OF_PLANS = (
    "max_waiting_jobs",
    "submits_per_minute",
    "worker_seconds_per_month",
    "max_priority",
    "needs_second_factor",
)
_COLUMNS = ("tier", "region", "queue", "io_queue", "weight", "DELETE")
_ROW = re.compile(r"tiers-(\d{1,4})-tier")


@dataclass(frozen=True, slots=True)
class WeightBar:
    """Share of a weight among the other weights while all are busy: as saved (``now``) and as typed (``after``)."""

    name: str
    weight: int
    now: float | None
    after: float


@dataclass(slots=True)
class WhatIfQuestion:
    """Question for a replay: the changed settings and the pool.

    ``faults`` are invalid values, ``notes`` name changes that are not replayed.
    """

    change: Change
    pool: str | None = None
    bars: list[WeightBar] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def draw_what_if(question: WhatIfQuestion, request: HttpRequest) -> SafeString:
    """Return the HTML of the panel for a question; write nothing."""
    context: dict[str, Any] = {"question": question}
    if not question.faults:
        began = time.perf_counter()
        try:
            answer = answer_what_if(question.change, pool=question.pool)
        except DomainError as refusal:
            question.faults.append(refusal.detail)
        else:
            context |= {
                "answer": answer,
                "tenants": order_losers_first(answer),
                "plans": sorted(answer.plans, key=_loss),
                "milliseconds": round((time.perf_counter() - began) * 1000),
            }
    return render_to_string(PANEL_TEMPLATE, context, request)


def order_losers_first(answer: WhatIf) -> list[ComparedShare]:
    """Return the ten most affected tenants, those with the largest loss first."""
    losers = list(answer.losers)
    names = {line.name for line in losers}
    return [*losers, *(line for line in answer.tenants if line.name not in names)][:MOST_AFFECTED]


def ask_about_plan(plan: Plan, posted: Mapping[str, Any]) -> WhatIfQuestion:
    """Return the what-if question for a tenants' plan with the typed weight and cap."""
    faults: list[str] = []
    weight = _read(posted, "weight", plan.weight, most=MOST_WEIGHT, faults=faults)
    cap = _read(posted, "max_concurrency", plan.max_concurrency, least=0, most=MOST_CAP, faults=faults)
    saved = dict(Plan.objects.order_by("tier__rank", "slug").values_list("slug", "weight"))
    typed = saved | {plan.slug: weight}
    change = Change(plan_weights={plan.slug: weight}, plan_caps={plan.slug: cap})
    notes = _not_replayed(plan, posted, NOT_REPLAYED_OF_PLANS)
    return WhatIfQuestion(change, bars=_bars(saved, typed), faults=faults, notes=notes)


def ask_about_cfs_plan(plan: CFSPlan, posted: Mapping[str, Any]) -> WhatIfQuestion:
    """Return the what-if question for a CFS plan with the typed weights, strategy and slices, as if it were active."""
    question = WhatIfQuestion(Change())
    rows = list(_typed_rows(posted, question.faults))
    active = {row.key: row for row in CFSPlanTier.objects.filter(plan__is_active=True).select_related("queue__pool")}
    saved = {row.key: row.weight for row in plan.tiers.all()}
    pools = {queue.pk: queue.pool.name for queue in Queue.objects.select_related("pool")}
    question.pool = _commonest(pools[queue_id] for _, (queue_id, _), _ in rows if queue_id in pools)
    weights: dict[str, int] = {}
    for tier, queue_ids, weight in rows:
        present = active.get(tier)
        if present is None or (present.queue_id, present.io_queue_id or 0) != queue_ids:
            question.notes.append(
                gettext("“%(tier)s” would use another queue, but jobs are replayed in their original queues.")
                % {"tier": tier}
            )
        elif present.queue.pool.name == question.pool:
            weights[tier] = weight
        elif present.weight != weight:
            question.notes.append(
                gettext("“%(tier)s” is served by another pool, which is not replayed.") % {"tier": tier}
            )
    question.bars = _bars(saved, {tier: weight for tier, _, weight in rows})
    strategy = str(posted.get("strategy") or plan.strategy)
    seconds = _read(posted, "granularity_seconds", plan.granularity_seconds, most=MOST_SECONDS, faults=question.faults)
    question.change = Change(tier_weights=weights, policy=POLICIES.get(strategy), granularity_seconds=seconds)
    question.notes += _not_replayed(plan, posted, ["reserved_slots"])
    if not plan.is_active:
        question.notes.append(gettext("The plan is not active; the effect is shown as if it were."))
    return question


def _not_replayed(plan: Model, posted: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return a note that names the typed changes without effect on a replay, if there are any."""
    fields = {name: plan._meta.get_field(name) for name in names if name in posted}
    typed = [
        str(getattr(field, "verbose_name", name))
        for name, field in fields.items()
        if str(posted[name]).strip() != str(getattr(plan, name))
    ]
    return [gettext("Not replayed, so without effect here: %(typed)s.") % {"typed": ", ".join(typed)}] if typed else []


def _typed_rows(posted: Mapping[str, Any], faults: list[str]) -> Iterable[tuple[str, tuple[int, int], int]]:
    """Yield (tier row, ids of its two queues or 0, weight) of the filled rows that are not marked as deleted."""
    numbers = sorted(int(found[1]) for name in posted if (found := _ROW.fullmatch(name)))
    for number in numbers[:MOST_ROWS]:
        row = {name: posted.get(f"tiers-{number}-{name}") for name in _COLUMNS}
        if row["DELETE"] or not row["tier"]:
            continue
        tier = tier_key(str(row["tier"]), str(row["region"] or ""))[:100]
        name = gettext("weight of “%(tier)s”") % {"tier": tier}
        weight = _read({name: row["weight"]}, name, 1, faults=faults)
        yield tier, (_read_id(row["queue"]), _read_id(row["io_queue"])), weight


def _read_id(typed: object) -> int:
    text = str(typed or "")
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def _read(
    posted: Mapping[str, Any], name: str, saved: int, *, faults: list[str], least: int = 1, most: int = MOST_WEIGHT
) -> int:
    """Return the typed whole number, or the saved one if it was not posted; append an invalid text to ``faults``."""
    text = str(posted[name]).strip() if posted.get(name) is not None else str(saved)
    if text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    words = name.replace("_", " ")
    faults.append(
        gettext("%(name)s must be a whole number from %(least)s to %(most)s.")
        % {"name": gettext(words).capitalize(), "least": f"{least:,}", "most": f"{most:,}"}
    )
    return saved


def _bars(saved: Mapping[str, int], typed: Mapping[str, int]) -> list[WeightBar]:
    now, after = sum(saved.values()) or 1, sum(typed.values()) or 1
    return [
        WeightBar(name, weight, saved[name] / now if name in saved else None, weight / after)
        for name, weight in typed.items()
    ]


def _commonest(names: Iterable[str]) -> str | None:
    found = list(names)
    return max(sorted(set(found)), key=found.count) if found else None


def _loss(line: ComparedShare) -> tuple[bool, float, float, str]:
    return (not line.is_loser, -line.lost_seconds, -line.later_seconds, line.name)
