"""Measure of objectives that alert rules compare: how fast the error budget is spent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import Per, Sample
from scheduling.models import Objective
from scheduling.objectives.queries import Standing, read_standings


def _read(now: datetime, *, is_fast: bool) -> Iterator[Sample]:
    for standing in read_standings(list(Objective.objects.select_related("tenant")), now):
        if value := _value(standing, is_fast=is_fast):
            objective = standing.objective
            yield Sample(f"objective:{objective.pk}", value, objective.name, objective.tenant_id)


def _value(standing: Standing, *, is_fast: bool) -> float:
    return standing.fast_burn if is_fast else standing.slow_burn


def _read_fast(now: datetime) -> Iterator[Sample]:
    return _read(now, is_fast=True)


def _read_slow(now: datetime) -> Iterator[Sample]:
    return _read(now, is_fast=False)


_OBJECTIVE = (Per.OBJECTIVE,)
MEASURES = (
    Measure(
        "objective_burn", _("burn rate of 1 hour"), "×", _OBJECTIVE, _read_fast, seconds=30.0, tenants_per=_OBJECTIVE
    ),
    Measure(
        "objective_slow_burn",
        _("burn rate of 6 hours"),
        "×",
        _OBJECTIVE,
        _read_slow,
        seconds=30.0,
        tenants_per=_OBJECTIVE,
    ),
)
