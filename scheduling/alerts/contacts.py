"""Contacts: their sealed targets, the mail addresses that they reach, and their disabling if messages fail."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import F
from django.utils.translation import gettext

from scheduling.alerts.contact_models import MAX_ERROR, Channel
from scheduling.alerts.messages import send_notice
from scheduling.kit.http import UrlRefusedError, read_target
from scheduling.models import AlertMessage, AlertNotice, Contact
from tenants.access.mail_addresses import addresses_of_roles
from tenants.access.permissions import PlatformRole
from tenants.audit.service import record_audit
from tenants.exceptions import FieldInvalidError
from tenants.models import Role
from tenants.secrets.signing import new_secret, seal, unseal
from tenants.translation import translate

# Keys of PagerDuty and Opsgenie.
_KEY = re.compile(r"(?:eu:)?[A-Za-z0-9-]{16,64}", re.ASCII)
MAX_PEOPLE, MAX_OWNERS = 50, 5
# Messages in a row, each after its last attempt.
MAX_FAILURES = 10
_COPIED = ("tenant_id", "alert_id", "revision", "what", "due_at")


def set_target(contact: Contact, target: str, *, is_kept: bool) -> str:
    """Set the sealed target or the roles of a contact, unless it is kept; return what is shown of it.

    Raise `FieldInvalidError` if it does not fit the channel.
    """
    if contact.channel == Channel.ROLE:
        known = PlatformRole if contact.tenant_id is None else Role
        if not contact.roles or set(contact.roles) - {role.value for role in known}:
            raise FieldInvalidError.at("roles", translate("Use one or more of %(roles)s.", {"roles": ", ".join(known)}))
        contact.sealed_target = ""
        return ", ".join(contact.roles)[:60]
    contact.roles = []
    if is_kept:
        return contact.label
    label = _check_target(contact, target)[:60]
    contact.sealed_target = seal(target)
    if contact.channel == Channel.WEBHOOK and not contact.sealed_secret:
        contact.sealed_secret = seal(new_secret())
    return label


def _check_target(contact: Contact, target: str) -> str:
    if contact.channel == Channel.MAIL:
        named = split_addresses(target)
        try:
            for address in named:
                validate_email(address)
        except ValidationError as error:
            raise FieldInvalidError.at("target", translate("Use mail addresses, separated by commas.")) from error
        if not named or len(addresses_of(contact, target)) < len(named):
            raise FieldInvalidError.at("target", translate("Use addresses of members of the tenant."))
        return ", ".join(f"{address[0]}…@{address.rpartition('@')[2]}" for address in named)
    if contact.channel in (Channel.PAGERDUTY, Channel.OPSGENIE):
        if not _KEY.fullmatch(target):
            raise FieldInvalidError.at(
                "target", translate("Use the key of the service; for Opsgenie in the EU, eu: and the key.")
            )
        return f"…{target[-4:]}"
    try:
        return f"{read_target(target).authority} …{target[-4:]}"
    except UrlRefusedError as refusal:
        raise FieldInvalidError.at("target", str(refusal)) from refusal


def secret_of(contact: Contact) -> str:
    """Return the secret that signs a webhook contact's messages, for the response to its creation; else ""."""
    return unseal(contact.sealed_secret) if contact.sealed_secret else ""


def addresses_of(contact: Contact, target: str) -> Sequence[str]:
    """Return the addresses of a contact's roles, or those that it names.

    A tenant's contact reaches members of the tenant only: it must send no mail to strangers or former members.
    """
    if contact.roles:
        return addresses_of_roles(contact.tenant_id, contact.roles, most=MAX_PEOPLE)
    named = split_addresses(target)
    if contact.tenant_id is None:
        return named
    members = {address.casefold() for address in addresses_of_roles(contact.tenant_id, None, most=1_000)}
    return [address for address in named if address.casefold() in members]


def split_addresses(target: str) -> list[str]:
    """Return the addresses of a text in which commas separate them."""
    return [address.strip() for address in target.split(",") if address.strip()]


def count_failure(message: AlertMessage, error: str) -> None:
    """Count a failed message of a contact; disable the contact after MAX_FAILURES in a row.

    The group's other contacts are notified, or its owners by mail if there are none. It needs the scope of all tenants.
    """
    if message.contact_id is None or message.what == AlertMessage.What.TEST:
        return
    counted = Contact.objects.filter(pk=message.contact_id, is_enabled=True)
    counted.update(failures=F("failures") + 1)
    held = counted.select_related("group").select_for_update(no_key=True, of=("self",))
    contact = held.filter(failures__gte=MAX_FAILURES).first()
    if contact is None:
        return
    contact.is_enabled, contact.disabled_reason = False, error[:MAX_ERROR]
    contact.save(update_fields=["is_enabled", "disabled_reason"])
    after = {"is_enabled": False, "failures": contact.failures, "reason": contact.disabled_reason}
    record_audit(action="contact.disabled", target=contact, before={"is_enabled": True}, after=after)
    _notify(contact, waiting=_hand_over(contact))


def _hand_over(contact: Contact) -> int:
    """Give the contact's waiting notices to the default group if its own has no other contact; return their number."""
    waiting = AlertNotice.objects.filter(contact=contact, message=None, dropped="")
    notices = list(waiting)
    enabled = Contact.objects.filter(is_enabled=True)
    if notices and not enabled.filter(group=contact.group_id).exists():
        heirs = enabled.filter(group__is_default=True, group__tenant=contact.tenant_id)
        copies = [
            AlertNotice(contact=heir, **{name: getattr(notice, name) for name in _COPIED})
            for notice in notices
            for heir in heirs
        ]
        AlertNotice.objects.bulk_create(copies, ignore_conflicts=True)
    waiting.update(dropped="disabled")
    return len(notices)


def _notify(contact: Contact, waiting: int) -> None:
    values = {
        "contact": str(contact),
        "group": str(contact.group),
        "count": MAX_FAILURES,
        "error": contact.disabled_reason,
        "waiting": waiting,
    }
    text = (
        gettext(
            "The contact %(contact)s of the group %(group)s is disabled, because %(count)s messages in a row could not "
            "be delivered. The last error: %(error)s %(waiting)s waiting notices went to other contacts. Correct its "
            "target on the console, send a test and enable it again."
        )
        % values
    )
    others = list(Contact.objects.filter(group=contact.group_id, is_enabled=True))
    role = PlatformRole.ADMIN if contact.tenant_id is None else Role.OWNER
    send_notice(
        tenant_id=contact.tenant_id,
        subject=gettext("Contact %(contact)s is disabled") % values,
        text=text,
        contacts=others,
        addresses=[] if others else addresses_of_roles(contact.tenant_id, [role], most=MAX_OWNERS),
    )
