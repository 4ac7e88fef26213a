"""The tenant setting that limits the use of the operator's endpoint."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from tenants.settings.schema import Setting, SettingGroup

PLATFORM_TOKENS: Final = Setting(
    key="model_endpoints.platform_tokens_per_month",
    title=gettext_noop("Tokens a month at the platform's model endpoint"),
    help_text=gettext_noop("Input and output tokens of all its models in a calendar month (UTC); 0: no limit."),
    schema={"type": "integer", "minimum": 0, "maximum": 10**15},
    default=0,
    editor="platform",
)
SETTINGS: Final = SettingGroup(gettext_noop("Model endpoints"), (PLATFORM_TOKENS,))
