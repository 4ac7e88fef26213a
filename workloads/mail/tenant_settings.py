"""The tenant setting of mails: the domains that a tenant's jobs may reach."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from tenants.settings.schema import Setting, SettingGroup

ALLOWED_DOMAINS: Final = Setting(
    key="mail.allowed_domains",
    title=gettext_noop("Domains of recipients"),
    help_text=gettext_noop(
        "JSON list of domains to which jobs of the kind send_mail may send, such as example.com; members of the tenant "
        "are always allowed."
    ),
    schema={
        "type": "array",
        "maxItems": 50,
        "uniqueItems": True,
        "items": {"type": "string", "maxLength": 190, "pattern": r"^[a-z0-9-]+(\.[a-z0-9-]+)+\Z"},
    },
    default=[],
    editor="platform",
)
SETTINGS: Final = SettingGroup(gettext_noop("Mail"), (ALLOWED_DOMAINS,))
