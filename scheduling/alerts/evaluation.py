"""Changes of alerts by what was measured: they commit in one transaction with their notices and messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice, takewhile
from operator import attrgetter
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from scheduling.alerts.grouping import Notifier
from scheduling.alerts.measures import Measure, measures
from scheduling.alerts.rules import FIRING, PRIVATE, RESOLVED, AlertState, Comparison, Sample, Tick, matches, step
from scheduling.models import Alert, AlertRule
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import execute
from tenants.database.reads import from_row
from tenants.database.sql import load_sql

# An alert that fires again within this time is the same one.
REOPENED_WITHIN = timedelta(minutes=10)
# Objects of one rule with an alert, and of one measure whose values are kept; the worst ones.
MOST_OBJECTS = 200
_WRITTEN = (
    "rule_name", "severity", "object", "state", "value", "peak", "threshold", "held_seconds", "clear_held_seconds",
    "pending_at", "fired_at", "changed_at", "resolved_at", "evaluated_at", "revision", "escalated_at", "inhibited_by",
    "silence", "tenants", "tenants_count", "facts", "acknowledged_by", "acknowledged_at",
)  # fmt: skip
_WRITE_MINUTES = load_sql(__file__)["write_minutes"]


@dataclass(frozen=True)
class Reading:
    """Samples of one measure, read at ``at``. Objects that a partial one lacks keep their state."""

    measure: Measure
    samples: Sequence[Sample]
    at: datetime
    is_partial: bool = False

    @cached_property
    def by_owner(self) -> Mapping[tuple[str, UUID | None], list[Sample]]:
        """Return the samples, ascending, by type of object and the tenant, or platform, whose rules compare them."""
        found: dict[tuple[str, UUID | None], list[Sample]] = defaultdict(list)
        for sample in sorted(self.samples, key=attrgetter("value")):
            per = sample.object_key.partition(":")[0]
            if not sample.is_private:
                found[per, None].append(sample)
            if sample.tenant_id is not None:
                found[per, sample.tenant_id].append(sample)
        return found


def evaluate(readings: Sequence[Reading], now: datetime) -> int:
    """Advance the alerts by these readings; return how many have fired or resolved. The caller holds the lock."""
    rules = {rule.pk: rule for rule in AlertRule.objects.filter(is_enabled=True).select_related("escalate_to")}
    opened = Alert.objects.exclude(state=RESOLVED).select_for_update(of=("self",), no_key=True).order_by("pk")
    turn = _Turn(now, rules)
    for alert in opened:
        turn.open[alert.rule_id][alert.object_key] = alert
    by_measure: dict[str, list[AlertRule]] = defaultdict(list)
    for rule in rules.values():
        by_measure[rule.measure].append(rule)
    for reading in readings:
        for rule in by_measure[reading.measure.name]:
            turn.compare(reading, rule)
    turn.resolve_orphans()
    turn.reopen()
    turn.commit()
    write_minutes(readings)
    return len(turn.fired) + len(turn.resolved)


@dataclass(slots=True)
class _Turn:
    """One evaluation: open alerts by rule and object, and what has changed."""

    now: datetime
    rules: Mapping[UUID, AlertRule]
    open: defaultdict[UUID | None, dict[str, Alert]] = field(default_factory=lambda: defaultdict(dict))
    written: dict[UUID, Alert] = field(default_factory=dict)
    removed: list[UUID] = field(default_factory=list)
    fired: dict[UUID, Alert] = field(default_factory=dict)
    resolved: list[Alert] = field(default_factory=list)
    reopened: set[UUID] = field(default_factory=set)

    def compare(self, reading: Reading, rule: AlertRule) -> None:
        """Compare the samples of the rule's objects, and advance the alerts of objects that have no sample any more."""
        known, comparison = dict(self.open[rule.id]), Comparison(rule.comparison)
        worst = reading.by_owner.get((rule.per, rule.tenant_id), [])[:: -1 if comparison.is_high_bad else 1]
        beyond = takewhile(lambda sample: comparison.holds(sample.value, rule.threshold), worst)
        samples = dict(islice(_samples_for(rule, beyond), MOST_OBJECTS))
        if known:
            names = {*known, *(key.rpartition(PRIVATE)[0] for key in known)}
            measured = _samples_for(rule, (sample for sample in worst if sample.object_key in names))
            samples |= {key: found for key, found in measured if key in known}
        for key in dict.fromkeys([*samples, *(() if reading.is_partial else known)]):
            sample, owner = samples.get(key, (None, None))
            self._advance(reading.measure, rule, key, sample, owner)

    def _advance(self, measure: Measure, rule: AlertRule, key: str, sample: Sample | None, owner: UUID | None) -> None:
        alert = self.open[rule.id].get(key)
        before, elapsed = None, 0.0
        if alert is not None:
            before = from_row(AlertState, alert)
            most = 2 * max(measure.seconds, platform_settings.ALERT_EVALUATION_SECONDS)
            elapsed = min(max((self.now - alert.evaluated_at).total_seconds(), 0.0), most)
        after = step(Tick(self.now, elapsed), before, None if sample is None else sample.value, rule)
        if after is None:
            if alert is not None:
                self.removed.append(self.open[rule.id].pop(key).pk)
            return
        if alert is None:
            assert sample is not None  # without a value nothing begins
            alert = Alert(tenant_id=owner, rule_id=rule.id, object_key=key, pending_at=self.now, changed_at=self.now)
            alert.about_tenant = sample.tenant_id
            self.open[rule.id][key] = alert
        _describe(alert, rule, measure, sample)
        self._set(alert, after)

    def _set(self, alert: Alert, state: AlertState) -> None:
        has_fired = state.state == FIRING and alert.state != FIRING
        for name in AlertState.__dataclass_fields__:
            setattr(alert, name, getattr(state, name))
        alert.evaluated_at = self.now
        if has_fired:
            alert.fired_at = alert.changed_at = self.now
            self.fired[alert.pk] = alert
        elif state.state == RESOLVED:
            alert.resolved_at = alert.changed_at = self.now
            self.resolved.append(alert)
            del self.open[alert.rule_id][alert.object_key]
        self.written[alert.pk] = alert

    def resolve_orphans(self) -> None:
        """Resolve the alerts whose rule was deleted or disabled; remove the pending ones."""
        for rule_id in self.open.keys() - self.rules.keys():
            for key, alert in list(self.open[rule_id].items()):
                if alert.state == FIRING:
                    alert.facts = {**alert.facts, "resolved_because": "rule"}
                    self._set(alert, replace(from_row(AlertState, alert), state=RESOLVED))
                else:
                    self.removed.append(self.open[rule_id].pop(key).pk)

    def reopen(self) -> None:
        """Replace alerts that have fired by those of the same rule and object that have resolved shortly before."""
        if not self.fired:
            return
        keys = {(alert.rule_id, alert.object_key): alert for alert in self.fired.values()}
        recent = Alert.objects.filter(
            state=RESOLVED,
            resolved_at__gt=self.now - REOPENED_WITHIN,
            rule__in={rule_id for rule_id, _ in keys},
            object_key__in={key for _, key in keys},
        )
        for former in recent.order_by("rule", "object_key", "-pk").distinct("rule", "object_key"):
            alert = keys.get((former.rule_id, former.object_key))
            if alert is None:
                continue
            self.removed.append(alert.pk)
            del self.fired[alert.pk], self.written[alert.pk]
            former.resolved_at = None
            former.acknowledged_by, former.acknowledged_at, former.escalated_at = "", None, None
            former.object, former.facts = alert.object, alert.facts
            self._set(former, from_row(AlertState, alert))
            self.open[former.rule_id][former.object_key] = former
            self.reopened.add(former.pk)

    def commit(self) -> None:
        """Write the alerts, and the notices of those that have changed."""
        opened = [alert for of_rule in self.open.values() for alert in of_rule.values()]
        notifier = Notifier(self.now, self.rules, opened, self.reopened)
        for alert in notifier.judge(self.fired):
            self.written[alert.pk] = alert
        Alert.objects.filter(pk__in=self.removed).delete()
        Alert.objects.bulk_create(
            self.written.values(), update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN, batch_size=1_000
        )
        notifier.write(self.resolved)


def _samples_for(rule: AlertRule, samples: Iterable[Sample]) -> Iterator[tuple[str, tuple[Sample, UUID | None]]]:
    """Yield the key of each alert that the rule may have, with its sample and the tenant that owns the alert."""
    for sample in samples:
        if matches(rule, sample):
            yield sample.object_key, (sample, rule.tenant_id)
            if rule.notifies_tenant and sample.tenant_id is not None:
                yield f"{sample.object_key}{PRIVATE}{sample.tenant_id}", (sample, sample.tenant_id)


def _describe(alert: Alert, rule: AlertRule, measure: Measure, sample: Sample | None) -> None:
    alert.rule_name, alert.severity, alert.threshold = rule.name, rule.severity, rule.threshold
    if sample is not None:
        kind, _, name = alert.object_key.partition(PRIVATE)[0].partition(":")
        alert.object = {"type": kind, "id": name, "label": sample.label or name, "parents": list(sample.parents)}
        alert.tenants, alert.tenants_count = list(sample.tenants), sample.tenants_count
        alert.facts = {**sample.facts, "unit": measure.unit, "measure": measure.name}


def write_minutes(readings: Sequence[Reading]) -> None:
    """Store the worst value of each object in this minute, and that this minute was evaluated."""
    rows: list[dict[str, Any]] = [{"measure": "", "object_key": "", "label": "", "parents": [], "value": 1.0}]
    for reading in readings:
        worst = sorted(reading.samples, key=attrgetter("value"), reverse=not reading.measure.is_low_bad)
        rows += [
            {
                "measure": reading.measure.name,
                "object_key": sample.object_key,
                "tenant_id": sample.tenant_id and str(sample.tenant_id),
                "label": sample.label[:100],
                "parents": sample.parents,
                "value": sample.value,
            }
            for sample in worst[:MOST_OBJECTS]
        ]
    low_bad = [measure.name for measure in measures().values() if measure.is_low_bad]
    execute(_WRITE_MINUTES, {"rows": Jsonb(rows), "low_bad": low_bad})
