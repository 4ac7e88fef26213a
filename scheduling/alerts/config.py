"""Changes of the configuration of alerts and of objectives: all are checked, saved and audited alike.

A contact's target is written only: what is shown of it is its label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import available_timezones

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext, gettext_noop

from scheduling.alerts.exceptions import (
    ConfigLimitError,
    ConfigNotFoundError,
    ConfigTakenError,
    TooManyTestsError,
)
from scheduling.alerts.messages import send_notice
from scheduling.alerts.rule_config import CONDITION, check_rule, replay_rule
from scheduling.alerts.targets import set_target
from scheduling.models import (
    AlertMessage,
    AlertOwner,
    AlertRoute,
    AlertRule,
    AlertSilence,
    Contact,
    ContactGroup,
    Objective,
)
from scheduling.objectives.service import check_objective
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import current_tenant_id
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.models import Tier
from tenants.tenancy.changes import assign
from tenants.tenancy.pausing import actor_words, require_reason
from tenants.translation import translate

_HOURS = ("active_days", "active_from", "active_until", "zone")
# Fields that users set, in the order of the forms; a contact's target is no column.
FIELDS: Final[Mapping[type[models.Model], tuple[str, ...]]] = {
    ContactGroup: ("name", "description", "is_default"),
    Contact: (
        "group", "channel", "target", "roles", "label", "min_severity", "per_hour", "quiet_until", "is_enabled",
    ),
    AlertRoute: ("position", "measure", "min_severity", "only_tenant", *_HOURS, "group"),
    AlertOwner: ("target", "name", "group"),
    AlertSilence: (
        "rule", "object_key", "only_kind", "only_queue", "only_tenant", "starts_at", "ends_at", "reason",
        "is_maintenance",
    ),
    AlertRule: (
        "name", *CONDITION, "severity", "escalate_minutes", "escalate_to", "notifies_tenant", "inhibits", "runbook",
        "is_enabled",
    ),
    Objective: ("name", "tier", "kind", "target_share", "target_seconds", "window_days"),
}  # fmt: skip
# Rows of a tenant, and of the platform.
MOST_ROWS = 200
LIMITS: Final[Mapping[type[models.Model], int]] = {AlertOwner: 500, Objective: 50}
LONGEST_SILENCE = timedelta(days=30)
TESTS_PER_MINUTE = 3
_TEST = gettext_noop("This is a test of the contact %(contact)s. Alerts will look like this message.")

type ConfigRow = ContactGroup | Contact | AlertRoute | AlertOwner | AlertSilence | AlertRule | Objective


def save[RowT: ConfigRow](
    row: RowT, changes: Mapping[str, Any], *, reason: str = "", is_confirmed: bool = False
) -> RowT:
    """Create a row of the current scope, or change its fields.

    Raise `FieldInvalidError`, `ConfigTakenError`, `ConfigLimitError` or, for a rule that its backtest warns of and that
    is not confirmed, `AlertRuleDoubtfulError`.
    """
    values = dict(changes)
    if isinstance(row, AlertSilence):
        reason = reason or str(values.get("reason", ""))
    target = values.pop("target", None) if isinstance(row, Contact) else None
    if isinstance(row, Contact) and not values.get("label"):
        values.pop("label", None)
    with transaction.atomic():
        is_new = row._state.adding
        if is_new:
            row.tenant_id = current_tenant_id()
            _check_room(row)
        difference = assign(row, values)
        if isinstance(row, Contact) and (target is not None or difference.after.keys() & {"channel", "roles"}):
            is_kept = target is None and "channel" not in difference.after
            label = set_target(row, target or "", is_kept=is_kept)
            row.label = difference.after["label"] = values.get("label") or label or row.label
        if not is_new and not difference:
            return row
        _CHECKS[type(row)](row)
        if isinstance(row, AlertRule) and (is_new or difference.after.keys() & set(CONDITION)):
            replay_rule(row, is_confirmed=is_confirmed)
        _store(row)
        action = f"{_name_of(row)}.{'created' if is_new else 'changed'}"
        record_audit(action=action, target=row, before=difference.before, after=difference.after, reason=reason)
    return row


@transaction.atomic
def delete(row: ConfigRow, *, reason: str = "") -> None:
    """Delete a row, with the rows that depend on it."""
    record_audit(action=f"{_name_of(row)}.deleted", target=row, before={"name": str(row)}, reason=reason)
    row.delete()


def find[RowT: ConfigRow](model: type[RowT], key: UUID) -> RowT:
    """Return a row of the current scope; raise `ConfigNotFoundError` if there is none."""
    rows: Any = model._default_manager.filter(pk=key)
    found: RowT = first_or_raise(rows, ConfigNotFoundError)
    return found


def find_named(row: ConfigRow, field: str, name: str) -> Any:
    """Return the row of this name, or slug, that a field of a row may refer to; raise `FieldInvalidError` without."""
    tenant_id = current_tenant_id() if row._state.adding else row.tenant_id
    rows: Any = row._meta.get_field(field).related_model
    key = {"slug": name} if rows is Tier else {"tenant": tenant_id, "name": name}
    found = rows._default_manager.filter(**key).first()
    if found is None:
        raise FieldInvalidError.at(field, translate("There is no row with the name %(name)r.", {"name": name}))
    return found


def end_silence(silence: AlertSilence, *, reason: str = "") -> AlertSilence:
    """End a silence now."""
    now = read_clock()
    if silence.ends_at <= now:
        return silence
    if silence.starts_at >= now:
        # It has no time of its own then.
        silence.starts_at = now - timedelta(seconds=1)
    silence.ended_by = actor_words()
    return save(silence, {"ends_at": now}, reason=reason)


def enable(contact: Contact, *, reason: str = "") -> Contact:
    """Enable a contact again that failed or was disabled."""
    return save(contact, {"is_enabled": True, "failures": 0, "disabled_reason": ""}, reason=reason)


@transaction.atomic
def send_test(contact: Contact) -> AlertMessage:
    """Send a test to a contact, enabled or not; the returned message shows the result when it has been tried.

    Raise `TooManyTestsError`.
    """
    recent = AlertMessage.objects.filter(contact=contact, what=AlertMessage.What.TEST)
    recent = recent.filter(pk__gte=uuid7_floor(read_clock() - timedelta(minutes=1)))
    if recent.count() >= TESTS_PER_MINUTE:
        raise TooManyTestsError(retry_after_seconds=60)
    values = {"contact": str(contact)}
    with suppress_nested_entries():
        (message,) = send_notice(
            tenant_id=contact.tenant_id,
            subject=gettext("Test of the contact %(contact)s") % values,
            text=gettext(_TEST) % values,
            contacts=[contact],
            what=AlertMessage.What.TEST,
        )
    record_audit(action="contact.tested", target=contact, after={"message": str(message.pk)})
    return message


def _name_of(row: ConfigRow) -> str:
    return row._meta.db_table.removeprefix("scheduling_")


def _check_room(row: ConfigRow) -> None:
    limit = LIMITS.get(type(row), MOST_ROWS)
    if type(row)._default_manager.filter(tenant=row.tenant_id)[:limit].count() >= limit:
        raise ConfigLimitError("At most %(limit)s are allowed.", {"limit": limit})


def _store(row: ConfigRow) -> None:
    try:
        with transaction.atomic():
            if isinstance(row, ContactGroup) and row.is_default:
                former = ContactGroup.objects.filter(tenant=row.tenant_id, is_default=True).exclude(pk=row.pk)
                former.update(is_default=False)
            row.save()
    except IntegrityError as error:
        raise ConfigTakenError from error


def _check_group(row: Contact | AlertRoute | AlertOwner) -> None:
    if row.group.tenant_id != row.tenant_id:
        raise FieldInvalidError.at("group", translate("The group belongs to another tenant."))
    if isinstance(row, AlertRoute):
        if row.zone not in available_timezones():
            raise FieldInvalidError.at("zone", translate("Use the name of a time zone, such as Europe/Berlin."))
        if (row.active_from is None) != (row.active_until is None):
            raise FieldInvalidError.at("active_from", translate("Give both hours, or none."))


def _check_silence(silence: AlertSilence) -> None:
    require_reason(silence.reason)
    silence.created_by = silence.created_by or actor_words()
    silence.ends_at = silence.ends_at or silence.starts_at + timedelta(hours=1)
    if not timedelta(0) < silence.ends_at - silence.starts_at <= LONGEST_SILENCE:
        raise FieldInvalidError.at("ends_at", translate("A silence lasts at most 30 days."))
    if silence.rule is not None and silence.rule.tenant_id != silence.tenant_id:
        raise FieldInvalidError.at("rule", translate("The rule belongs to another tenant."))


_CHECKS: Final[Mapping[type[models.Model], Callable[[Any], None]]] = {
    ContactGroup: lambda group: None,
    Contact: _check_group,
    AlertRoute: _check_group,
    AlertOwner: _check_group,
    AlertSilence: _check_silence,
    AlertRule: check_rule,
    Objective: check_objective,
}
