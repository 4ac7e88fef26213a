"""The disabling of contacts whose messages fail, with a notice to their owners."""

from __future__ import annotations

from django.db.models import F
from django.utils.translation import gettext

from scheduling.alerts.contact_models import MAX_ERROR
from scheduling.alerts.messages import send_notice
from scheduling.models import AlertMessage, AlertNotice, Contact
from tenants.access.mail_addresses import addresses_of_roles
from tenants.access.permissions import PlatformRole
from tenants.audit.service import record_audit
from tenants.models import Role

# Messages in a row, each after its last attempt.
MAX_FAILURES = 10
MAX_OWNERS = 5
_COPIED = ("tenant_id", "alert_id", "revision", "what", "due_at")


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
