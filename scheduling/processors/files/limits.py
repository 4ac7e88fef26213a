"""What files limit: the bytes that a tenant keeps."""

from __future__ import annotations

from typing import Final

from tenants.limits import Limit, Span

STORAGE_BYTES: Final = Limit(
    key="storage_bytes",
    title="File storage",
    unit="bytes",
    counts="Bytes of all that is stored as files; a content that several things refer to counts once.",
    span=Span.NOW,
    enforced_at="upload and wherever a file is stored",
    is_counter=True,
    warns=True,
)
LIMITS: Final = (STORAGE_BYTES,)
