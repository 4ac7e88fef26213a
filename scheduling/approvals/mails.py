"""Delivery of mails about requests of approval, as messages: no request waits for the mail server."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.urls import reverse

from scheduling.alerts.messages import absolute_url, send_notice
from tenants.approvals.mails import ApprovalMail
from tenants.signals import approval_mail_wanted

logger = logging.getLogger(__name__)


def connect_approval_mails() -> None:
    """Connect the receiver of mails about requests of approval."""
    approval_mail_wanted.connect(store_mail, dispatch_uid="scheduling.approval_mails")


def store_mail(sender: Any, mail: ApprovalMail, **_: Any) -> None:
    """Store the messages of a mail in the caller's transaction; without a mail server there are none."""
    if not settings.EMAIL_HOST:
        return
    url = absolute_url(reverse("admin:tenants_approvalrequest_change", args=[mail.request_id]))
    text = f"{mail.text}\n\n{url}"
    try:
        with transaction.atomic():
            send_notice(tenant_id=mail.tenant_id, addresses=mail.addresses, subject=mail.subject, text=text)
    except (OperationalError, InterfaceError):
        raise  # a fault of the database: the request fails as well
    except Exception:
        logger.exception("approval.not_mailed", extra={"approval_request": str(mail.request_id)})
