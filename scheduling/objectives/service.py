"""Configuration of objectives, and the check of a new or changed one."""

from __future__ import annotations

from scheduling.configuration.service import Configured
from scheduling.models import Objective, ObjectiveHour, ObjectiveMinute
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.exceptions import FieldInvalidError
from tenants.translation import translate


def check_objective(objective: Objective) -> None:
    """Raise FieldInvalidError if it covers nothing or too much. With another promise its counts begin again."""
    if objective.tenant_id and objective.tier_id:
        raise FieldInvalidError.at("tier", translate("Leave it empty for an objective of one tenant."))
    if not (objective.tenant_id or objective.tier_id or objective.kind):
        raise FieldInvalidError.at("tier", translate("Choose a tier, a kind or a tenant."))
    promise = {"tier": objective.tier_id, "kind": objective.kind, "target_seconds": objective.target_seconds}
    if objective._state.adding or Objective.objects.filter(pk=objective.pk, **promise).exists():
        return
    objective.created_at = read_clock()
    with all_tenants():
        ObjectiveMinute.objects.filter(objective=objective.pk).delete()
        ObjectiveHour.objects.filter(objective=objective.pk).delete()


OBJECTIVES = Configured(
    Objective, ("name", "tier", "kind", "target_share", "target_seconds", "window_days"), check_objective, most=50
)
