"""The limit that this app declares: on the bytes that a tenant stores."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from tenants.limits.declared import Limit, LimitPeriod

STORAGE_BYTES: Final = Limit(
    key="storage_bytes",
    title=gettext_noop("File storage"),
    unit=gettext_noop("bytes"),
    counts=gettext_noop("Bytes of all stored files; content with several references counts once."),
    span=LimitPeriod.NOW,
    enforced_at="upload and every stored file",
    is_counter=True,
    warns=True,
)
LIMITS: Final = (STORAGE_BYTES,)
