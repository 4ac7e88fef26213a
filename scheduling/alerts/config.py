"""Configuration of whom alerts notify: groups, contacts, routes, owners and silences.

A contact's target is written only: what is shown of it is its label.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

from django.db import transaction
from django.utils.translation import gettext, gettext_noop

from scheduling.alerts.exceptions import TooManyTestsError
from scheduling.alerts.messages import send_notice
from scheduling.alerts.targets import set_target
from scheduling.configuration.service import Configured
from scheduling.models import AlertMessage, AlertOwner, AlertRoute, AlertSilence, Contact, ContactGroup
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.exceptions import FieldInvalidError
from tenants.tenancy.changes import Difference, assign
from tenants.tenancy.pausing import actor_words, require_reason
from tenants.translation import translate

LONGEST_SILENCE = timedelta(days=30)
TESTS_PER_MINUTE = 3
_TEST = gettext_noop("This is a test of the contact %(contact)s. Alerts will look like this message.")


def end_silence(silence: AlertSilence, *, reason: str = "") -> AlertSilence:
    """End a silence now."""
    now = read_clock()
    if silence.ends_at <= now:
        return silence
    if silence.starts_at >= now:
        # It has no time of its own then.
        silence.starts_at = now - timedelta(seconds=1)
    silence.ended_by = actor_words()
    return SILENCES.save(silence, {"ends_at": now}, reason=reason)


def enable(contact: Contact, *, reason: str = "") -> Contact:
    """Enable a contact again that failed or was disabled."""
    return CONTACTS.save(contact, {"is_enabled": True, "failures": 0, "disabled_reason": ""}, reason=reason)


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


def _replace_default(group: ContactGroup) -> None:
    if group.is_default:
        former = ContactGroup.objects.filter(tenant=group.tenant_id, is_default=True).exclude(pk=group.pk)
        former.update(is_default=False)


def _assign_contact(contact: Contact, values: dict[str, Any]) -> Difference:
    """Set the values of a contact, and its target; a label that is not given shows the end of the target."""
    target, label = values.pop("target", None), values.get("label")
    if not label:
        values.pop("label", None)
    difference = assign(contact, values)
    if target is not None or difference.after.keys() & {"channel", "roles"}:
        is_kept = target is None and "channel" not in difference.after
        shown = set_target(contact, target or "", is_kept=is_kept)
        contact.label = difference.after["label"] = label or shown or contact.label
    return difference


def _check_group(row: Contact | AlertRoute | AlertOwner) -> None:
    if row.group.tenant_id != row.tenant_id:
        raise FieldInvalidError.at("group", translate("The group belongs to another tenant."))


def _check_route(route: AlertRoute) -> None:
    _check_group(route)
    if route.zone not in available_timezones():
        raise FieldInvalidError.at("zone", translate("Use the name of a time zone, such as Europe/Berlin."))
    if (route.active_from is None) != (route.active_until is None):
        raise FieldInvalidError.at("active_from", translate("Give both hours, or none."))


def _check_silence(silence: AlertSilence) -> None:
    require_reason(silence.reason)
    silence.created_by = silence.created_by or actor_words()
    silence.ends_at = silence.ends_at or silence.starts_at + timedelta(hours=1)
    if not timedelta(0) < silence.ends_at - silence.starts_at <= LONGEST_SILENCE:
        raise FieldInvalidError.at("ends_at", translate("A silence lasts at most 30 days."))
    if silence.rule is not None and silence.rule.tenant_id != silence.tenant_id:
        raise FieldInvalidError.at("rule", translate("The rule belongs to another tenant."))


GROUPS = Configured(ContactGroup, ("name", "description", "is_default"), _replace_default)
CONTACTS = Configured(
    Contact,
    ("group", "channel", "target", "roles", "label", "min_severity", "per_hour", "quiet_until", "is_enabled"),
    _check_group,
    assign=_assign_contact,
)
ROUTES = Configured(
    AlertRoute,
    (
        "position", "measure", "min_severity", "only_tenant", "active_days", "active_from", "active_until", "zone",
        "group",
    ),
    _check_route,
)  # fmt: skip
OWNERS = Configured(AlertOwner, ("target", "name", "group"), _check_group, most=500)
SILENCES = Configured(
    AlertSilence,
    (
        "rule", "object_key", "only_kind", "only_queue", "only_tenant", "starts_at", "ends_at", "reason",
        "is_maintenance",
    ),
    _check_silence,
)  # fmt: skip
