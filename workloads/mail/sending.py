"""A mail as one SMTP transaction with the platform's server, and the addresses that a tenant may reach."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from email.utils import parseaddr
from smtplib import SMTPAuthenticationError, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend
from django.db.models.functions import Lower

from scheduling.kit.base import DependencyRefusedError, PermanentError, TransientError
from tenants.context import tenant_context
from tenants.models import Membership

# The replies of a server to the recipients that it has refused.
type Refused = Mapping[str, tuple[int, bytes]]

_PERMANENT: Final = 500


def find_strangers(tenant_id: UUID, addresses: Collection[str], domains: Collection[str]) -> list[str]:
    """Return the addresses that are neither in one of the domains nor of an active member of the tenant."""
    outside = [one for one in addresses if one.rpartition("@")[2].lower() not in domains]
    if not outside:
        return []
    with tenant_context(tenant_id):
        people = (
            get_user_model()
            ._default_manager.annotate(address=Lower("email"))
            .filter(
                address__in=[one.lower() for one in outside],
                is_active=True,
                pk__in=Membership.objects.filter(tenant_id=tenant_id).values("user_id"),
            )
        )
        known = set(people.values_list("address", flat=True))
    return [one for one in outside if one.lower() not in known]


def write_mail(payload: Mapping[str, Any], *, job_id: UUID) -> EmailMultiAlternatives:
    """Return the mail of a valid payload. Its Message-ID is the job's, so that a repeat is recognisable."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    mail = EmailMultiAlternatives(
        payload["subject"],
        payload["text"],
        to=payload["to"],
        cc=payload.get("cc", []),
        reply_to=[payload["reply_to"]] if "reply_to" in payload else [],
        headers={"Message-ID": f"<{job_id}@{domain}>", "Auto-Submitted": "auto-generated"},
    )
    if "html" in payload:
        mail.attach_alternative(payload["html"], "text/html")
    return mail


def transmit(mail: EmailMultiAlternatives, recipients: Sequence[str]) -> Refused:
    """Send a mail by the platform's server. Return the replies to the refused recipients, perhaps to all.

    Raise `PermanentError` for a reply of 500 and above to the mail, `TransientError` for any other failure.
    """
    backend = EmailBackend()
    try:
        backend.open()
        assert backend.connection is not None
        sender = parseaddr(mail.from_email)[1]
        refused: Refused = backend.connection.send_message(mail.message(), sender, list(recipients))
    except SMTPRecipientsRefused as error:
        return error.recipients
    except SMTPAuthenticationError as error:
        raise DependencyRefusedError("The mail server refuses the platform's account.") from error
    except SMTPResponseException as error:
        message, code = f"The mail server answered {error.smtp_code}.", f"smtp_{error.smtp_code}"
        raise (PermanentError if error.smtp_code >= _PERMANENT else TransientError)(message, code=code) from error
    except (SMTPException, OSError) as error:
        message = f"The mail server is not available: {type(error).__name__}."
        raise TransientError(message, code="smtp_unavailable") from error
    finally:
        backend.close()
    return refused


def conclude(refused: Refused, recipients: Sequence[str]) -> list[dict[str, Any]]:
    """Return the refused recipients with their codes, if the server has accepted at least one other.

    If it has accepted none, raise `TransientError` if one may be accepted later, else `PermanentError`. A mail that
    was accepted for some is not repeated: they would get it twice.
    """
    if len(refused) < len(recipients):
        return [{"address": address, "code": code} for address, (code, _) in sorted(refused.items())]
    codes = sorted({code for code, _ in refused.values()})
    text = f"The mail server refused all recipients: {', '.join(map(str, codes))}."
    raise (PermanentError if codes[0] >= _PERMANENT else TransientError)(text, code=f"smtp_{codes[0]}")
