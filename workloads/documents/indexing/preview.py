"""Preview of the chunks that a file or text would have. Nothing is stored; the steps are those of indexing."""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import IO

from django.core.files.base import File
from django.utils.translation import gettext

from scheduling.kit.base import PermanentError, TransientError
from tenants.models import Tenant
from tenants.requests.features import require_feature
from tenants.settings.schema import settings_of
from workloads.documents.blocks import Facts
from workloads.documents.exceptions import DatasetSettingsInvalidError
from workloads.documents.extraction.errors import FileTooComplexError, FileWithoutTextError
from workloads.documents.extraction.limits import MIB, ParsingLimits
from workloads.documents.extraction.sniffing import ContentType
from workloads.documents.indexing.exceptions import PreviewBusyError, PreviewRefusedError, PreviewUnavailableError
from workloads.documents.indexing.inspection import inspect_documents
from workloads.documents.indexing.intake import check_encoding
from workloads.documents.indexing.tenant_settings import MAX_PERCENT_WITHOUT_TEXT
from workloads.documents.one_item import steps
from workloads.documents.one_item.item import IndexingItem, IndexingSettings, IndexingState
from workloads.documents.one_item.steps import StepContext
from workloads.documents.split_settings import SplitSettings
from workloads.documents.splitting import Passage, iterate_passages

MAX_PREVIEW_BYTES, MAX_PREVIEW_CHUNKS = 5 * MIB, 50
MAX_SECONDS = 15.0
_LIMITS = ParsingLimits(memory_bytes=512 * MIB, cpu_seconds=10, wall_seconds=MAX_SECONDS, output_bytes=32 * MIB)
# Previews at a time in this process, each with a parser of its own, and the seconds that another one waits.
_slots, _WAIT_SECONDS = threading.BoundedSemaphore(2), 2.0


@dataclass(frozen=True, slots=True)
class Preview:
    """The first chunks of a document, the number of all, and the facts about its file."""

    chunks: list[Passage]
    total: int
    facts: Facts


def preview_file(*, tenant: Tenant, file: File[bytes], settings: SplitSettings, encoding: str = "") -> Preview:
    """Return the chunks that a file of at most 5 MiB would have; ``encoding`` is that of a text, if not detected.

    Raise `DatasetSettingsInvalidError`, `UploadRefusedError`, `FieldInvalidError` for an unknown encoding,
    `PreviewRefusedError` for a file that cannot be indexed or takes too long, `PreviewBusyError` while others run, or
    `PreviewUnavailableError` if this host cannot read it now.
    """
    encoding = check_encoding(encoding)
    if file.size > MAX_PREVIEW_BYTES:
        detail = gettext("At most %(limit)s MiB are previewed.") % {"limit": MAX_PREVIEW_BYTES // MIB}
        raise PreviewRefusedError(errors=[{"field": "file", "code": "file_too_large", "detail": detail}])
    incoming = inspect_documents([file])[0]
    return _preview(tenant, incoming.content, incoming.content_type, settings, encoding)


def preview_text(*, tenant: Tenant, text: str, content_type: ContentType, settings: SplitSettings) -> Preview:
    """Return the chunks that a text would have as a file of this type; raise as `preview_file` does."""
    return _preview(tenant, io.BytesIO(text.encode("utf-8", "replace")), content_type, settings, "utf-8")


def _preview(
    tenant: Tenant, content: IO[bytes] | File[bytes], content_type: str, settings: SplitSettings, encoding: str
) -> Preview:
    require_feature("previews")
    faults = [{"field": name, "code": "settings_invalid", "detail": text} for name, text in settings.find_faults()]
    if faults:
        raise DatasetSettingsInvalidError(errors=faults)
    item = IndexingItem(
        tenant_id=tenant.pk,
        name="",
        file_name="",
        settings=IndexingSettings(
            settings,
            encoding=encoding,
            max_percent_without_text=int(settings_of(tenant)[MAX_PERCENT_WITHOUT_TEXT.key]),
            parsing=_LIMITS,
        ),
        embedding_model="",
        state=IndexingState(content_type=content_type),
    )
    if not _slots.acquire(timeout=_WAIT_SECONDS):
        raise PreviewBusyError(retry_after_seconds=5)
    try:
        # The parser needs a file of the operating system, which ends with the request.
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(content, file)
            return _split(item, file)
    except PermanentError as error:
        fault = {"field": "file", "code": error.code, "detail": str(error)}
        raise PreviewRefusedError(errors=[fault]) from error
    except TransientError as error:
        raise PreviewUnavailableError(str(error), retry_after_seconds=30) from error
    finally:
        _slots.release()


def _split(item: IndexingItem, file: IO[bytes]) -> Preview:
    ends_at = time.monotonic() + MAX_SECONDS

    def check_running() -> None:
        if time.monotonic() > ends_at:
            raise FileTooComplexError(f"A preview takes at most {MAX_SECONDS:.0f} seconds.")

    item = steps.clean(steps.extract_from(item, file, StepContext(check_running, lambda _: nullcontext())))
    chunks: list[Passage] = []
    total = 0
    for total, passage in enumerate(iterate_passages(item.blocks, item.settings.split_settings), start=1):
        check_running()
        if total <= MAX_PREVIEW_CHUNKS:
            chunks.append(passage)
    if not total:
        raise FileWithoutTextError
    return Preview(chunks, total, item.facts)
