"""Measure of backups that alert rules compare."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Max, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from scheduling.alerts.measures import Measure
from scheduling.alerts.rules import Per, Sample
from scheduling.backups.models import BackupPlan


def _read(now: datetime) -> Iterator[Sample]:
    stored = Max("backups__taken_at", filter=Q(backups__error="", backups__deleted_at=None))
    for plan in BackupPlan.objects.filter(is_enabled=True).annotate(newest=stored):
        hours = (now - (plan.newest or plan.created_at)).total_seconds() / 3_600
        words = gettext("%(hours)s hours since the last backup; %(promised)s are promised.")
        facts = {"message": words % {"hours": f"{hours:.1f}", "promised": plan.promised_hours}}
        yield Sample(f"check:backup.{plan.pk}", hours / plan.promised_hours, plan.name, facts=facts)


MEASURES = (
    Measure(
        "backup_age", _("Age of the newest backup, in promised ages"), "×", (Per.CHECK,), _read, seconds=30.0
    ),
)  # fmt: skip
