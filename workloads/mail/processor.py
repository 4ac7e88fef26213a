"""The processor of the kind `send_mail`: one mail per job, sent at least once."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.utils.translation import gettext_noop

from scheduling.kit.base import Complete, Dependency, JobContext, PermanentError, TaskProcessor
from workloads.mail.sending import conclude, find_strangers, transmit, write_mail
from workloads.mail.tenant_settings import ALLOWED_DOMAINS

MAX_RECIPIENTS: Final = 10
MAX_BODY_CHARACTERS: Final = 50_000
_ADDRESS: Final = {
    "type": "string",
    "maxLength": 254,
    # An address without a name: no header can be added to it.
    "pattern": r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,8}\Z",
}
_ADDRESSES: Final = {"type": "array", "items": _ADDRESS, "minItems": 1, "maxItems": MAX_RECIPIENTS}


class SendMail(TaskProcessor):
    """Processor of the kind `send_mail`. Each job sends one mail, with the job's id as its Message-ID."""

    kind = "send_mail"
    title = gettext_noop("Mail")
    description = gettext_noop(
        "Sends a mail by the platform's server to members of the tenant, or to domains that the platform allows it.\n\n"
        "A mail is sent at least once: after a lost connection a retry sends it again, with the same Message-ID."
    )
    payload_schema = {
        "type": "object",
        "properties": {
            "to": _ADDRESSES,
            "cc": _ADDRESSES,
            "reply_to": _ADDRESS,
            "subject": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z",
            },
            "text": {"type": "string", "minLength": 1, "maxLength": MAX_BODY_CHARACTERS},
            "html": {"type": "string", "minLength": 1, "maxLength": MAX_BODY_CHARACTERS},
        },
        "required": ["to", "subject", "text"],
        "additionalProperties": False,
    }
    settings = (ALLOWED_DOMAINS.key,)
    timeout_seconds = 120.0
    max_retries = 4
    # Servers that ask to come back later want minutes.
    retry_delays_seconds = (60.0, 300.0, 900.0, 3_600.0)
    # Others of a message would be sent again with it.
    is_mergeable = False
    # The server has a breaker; a refused recipient is of one job alone.
    has_circuit = False

    def process(self, context: JobContext) -> Complete:
        payload = context.payload
        recipients = list({one.lower(): one for one in (*payload["to"], *payload.get("cc", ()))}.values())
        if len(recipients) > MAX_RECIPIENTS:
            raise PermanentError(f"A mail has at most {MAX_RECIPIENTS} recipients.", code="too_many_recipients")
        if not settings.EMAIL_HOST:
            raise PermanentError("The platform has no mail server.", code="mail_not_set")
        domains = frozenset(context.setting(ALLOWED_DOMAINS.key))
        if strangers := find_strangers(context.tenant_id, recipients, domains):
            text = f"The tenant may not send to {', '.join(strangers)}: neither a member nor in an allowed domain."
            raise PermanentError(text, code="recipient_not_allowed")
        mail = write_mail(payload, job_id=context.job_id)
        with context.dependency(Dependency("mail", is_shared=True)):
            refused = transmit(mail, recipients)
        # Outside of that block: a tenant's recipients say nothing about the server.
        left_out = conclude(refused, recipients)
        context.log("sent", recipients=len(recipients) - len(left_out), refused=len(left_out))
        return Complete({"message_id": mail.extra_headers["Message-ID"], "refused": left_out})
