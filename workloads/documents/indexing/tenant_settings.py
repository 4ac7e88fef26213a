"""The tenant settings of indexing: the chunks of one document, and its pages without text."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.settings.schema import Setting, SettingGroup
from workloads.documents.one_item.steps import MAX_CHUNKS_KEY, PAGES_KEY

MAX_CHUNKS = Setting(
    key=MAX_CHUNKS_KEY,
    title=gettext_noop("Chunks of a document"),
    help_text=gettext_noop("A file with more chunks is refused as too complex, before anything is embedded."),
    # 50 MiB of text make about this many; their vectors take ten minutes of one core.
    schema={"type": "integer", "minimum": 1, "maximum": 60_000},
    default=60_000,
)
MAX_PERCENT_WITHOUT_TEXT = Setting(
    key=PAGES_KEY,
    title=gettext_noop("Pages without text, in percent"),
    help_text=gettext_noop(
        "A file in which more of the pages have no text, such as a scan, is refused. Up to this share the document is "
        "completed with a warning."
    ),
    schema={"type": "integer", "minimum": 0, "maximum": 100},
    default=100,
)
SETTINGS = SettingGroup(gettext_noop("Document indexing"), (MAX_CHUNKS, MAX_PERCENT_WITHOUT_TEXT))
