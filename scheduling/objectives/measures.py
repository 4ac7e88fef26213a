"""Measures of objectives that alert rules compare: how fast the error budget is spent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import Per, Sample
from scheduling.models import Objective
from scheduling.objectives.queries import read_standings


def _read(now: datetime, *, is_fast: bool) -> Iterator[Sample]:
    for found in read_standings(list(Objective.objects.all()), now):
        if value := found.fast_burn if is_fast else found.slow_burn:
            objective = found.objective
            yield Sample(f"objective:{objective.pk}", value, objective.name, objective.tenant_id)


_ON = {"per": (Per.OBJECTIVE,), "tenants_per": (Per.OBJECTIVE,), "unit": "×", "seconds": 30.0}
MEASURES = (
    Measure("objective_burn", _("burn rate of 1 hour"), read=partial(_read, is_fast=True), **_ON),  # type: ignore[arg-type]
    Measure("objective_slow_burn", _("burn rate of 6 hours"), read=partial(_read, is_fast=False), **_ON),  # type: ignore[arg-type]
)
