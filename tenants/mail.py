"""Mail, if the deployment has a server for it (EMAIL_HOST)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.conf import settings
from django.core.mail import send_mail

logger = logging.getLogger(__name__)


def deliver_mail(*, recipients: Sequence[str], subject: str, text: str) -> bool:
    """Return whether a mail server took the mail; False without a server, or if it refuses."""
    if not settings.EMAIL_HOST or not recipients:
        return False
    try:
        send_mail(subject, text, None, list(recipients))
    except (OSError, ValueError):
        # OSError includes all refusals of the server.
        logger.exception("mail.failed")
        return False
    return True
