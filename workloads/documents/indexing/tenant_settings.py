"""The tenant setting that limits the number of chunks of one document."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.settings.schema import Setting, SettingGroup

MAX_CHUNKS = Setting(
    key="document_indexing.max_chunks",
    title=gettext_noop("Chunks of a document"),
    help_text=gettext_noop("A file with more chunks is refused as too complex, before anything is embedded."),
    # 50 MiB of text make about this many; their vectors take ten minutes of one core.
    schema={"type": "integer", "minimum": 1, "maximum": 60_000},
    default=60_000,
)
SETTINGS = SettingGroup(gettext_noop("Document indexing"), (MAX_CHUNKS,))
