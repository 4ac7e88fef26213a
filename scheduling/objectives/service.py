"""Changes of objectives, each with its audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Model

from scheduling.models import Objective, ObjectiveHour, ObjectiveMinute
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tenants.tenancy.changes import assign

FIELDS = ("name", "tier", "kind", "target_share", "target_seconds", "window_days")
# With another promise the counts begin again.
PROMISE = frozenset({"tier", "kind", "target_seconds"})


def create_objective(*, tenant: Tenant | None, values: Mapping[str, Any]) -> Objective:
    """Create an objective of a tenant or, without one, of the platform for a tier or a kind."""
    objective = Objective(tenant=tenant)
    difference = assign(objective, values)
    _save(objective)
    record_audit(action="objective.created", target=objective, after=difference.after)
    return objective


def update_objective(*, objective: Objective, changes: Mapping[str, Any]) -> Objective:
    """Change fields of an objective; its counts begin again if it covers other jobs or has another time."""
    difference = assign(objective, changes)
    if not difference:
        return objective
    if PROMISE & difference.after.keys():
        objective.created_at = read_clock()
        _delete_counts(objective)
    _save(objective)
    record_audit(action="objective.changed", target=objective, before=difference.before, after=difference.after)
    return objective


def delete_objective(*, objective: Objective) -> None:
    """Delete an objective with its counts."""
    record_audit(action="objective.deleted", target=objective, before={"name": objective.name})
    _delete_counts(objective)
    objective.delete()


def _save(objective: Objective) -> None:
    """Save a row; raise FieldInvalidError if it covers nothing or too much, or if the name is taken."""
    if objective.tenant_id and objective.tier_id:
        raise FieldInvalidError("tier: Leave it empty for an objective of one tenant.")
    if not (objective.tenant_id or objective.tier_id or objective.kind):
        raise FieldInvalidError("tier: Choose a tier, a kind or a tenant.")
    try:
        with transaction.atomic():
            objective.save()
    except IntegrityError as error:
        raise FieldInvalidError("name: There is an objective of this name.") from error


def _delete_counts(objective: Objective) -> None:
    counts: tuple[type[Model], ...] = (ObjectiveMinute, ObjectiveHour)
    with all_tenants():
        for model in counts:
            model._default_manager.filter(objective=objective.pk).delete()
