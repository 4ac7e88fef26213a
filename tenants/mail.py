"""Outgoing mail. It is sent only if the deployment has set a mail server (EMAIL_HOST)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.conf import settings
from django.core.mail import send_mail

logger = logging.getLogger(__name__)


def deliver_mail(*, recipients: Sequence[str], subject: str, text: str) -> bool:
    """Send a mail. Return True if the mail server accepted it, False if it failed or no server is set."""
    if not settings.EMAIL_HOST or not recipients:
        return False
    try:
        send_mail(subject, text, None, list(recipients))
    except (OSError, ValueError):
        # OSError includes all refusals of the server.
        logger.exception("mail.failed")
        return False
    return True
