"""Start-up check of text recognition: what the settings name is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register

from tenants.checks import START
from tenants.database.platform_settings import platform_settings
from workloads.documents.extraction.limits import OCR_OFF
from workloads.documents.extraction.recognition import find_fault


@register("retrieval", START)
def check_text_recognition(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Check that the engine of DOCUMENTS_OCR is installed (retrieval.E001)."""
    if platform_settings.DOCUMENTS_OCR == OCR_OFF or not (fault := find_fault()):
        return []
    hint = "Run `pip install -r requirements-ocr.txt`, or set DOCUMENTS_OCR to off; see docs/how-to/documents.md."
    return [Error(fault, hint=hint, id="retrieval.E001")]
