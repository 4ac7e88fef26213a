"""Limit of the app: bytes that a tenant stores."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from tenants.limits.declared import Limit, Span

STORAGE_BYTES: Final = Limit(
    key="storage_bytes",
    title=gettext_noop("File storage"),
    unit=gettext_noop("bytes"),
    counts=gettext_noop("Bytes of all that is stored as files; a content that several things refer to counts once."),
    span=Span.NOW,
    enforced_at="upload and wherever a file is stored",
    is_counter=True,
    warns=True,
)
LIMITS: Final = (STORAGE_BYTES,)
