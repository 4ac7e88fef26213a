"""Outgoing mail. It is sent only if the deployment has set a mail server (EMAIL_HOST)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage

logger = logging.getLogger(__name__)

WITHOUT_SERVER: Final = "No mail server is set (EMAIL_HOST)."


def deliver_mail(
    *,
    recipients: Sequence[str],
    subject: str,
    text: str,
    headers: Mapping[str, str] | None = None,
    is_blind: bool = False,
) -> str:
    """Send a mail. Return an empty text if the mail server accepted it, else what it answered or why it was not sent.

    With `is_blind` the recipients do not see each other's addresses.
    """
    if not settings.EMAIL_HOST or not recipients:
        return WITHOUT_SERVER if recipients else "There are no recipients."
    to: dict[str, list[str]] = {"bcc" if is_blind else "to": list(recipients)}
    try:
        EmailMessage(subject, text, headers=dict(headers or {}), **to).send()  # type: ignore[arg-type]  # names of its own
    except (OSError, ValueError) as error:
        # OSError includes all refusals of the server.
        logger.exception("mail.failed")
        return f"{type(error).__name__}: {error}"
    return ""
