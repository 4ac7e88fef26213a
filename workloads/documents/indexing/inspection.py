"""Check of the files of an upload: their types, and how many chunks they will have."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from django.core.files.base import File
from django.utils.translation import gettext

from tenants.models import Tenant
from tenants.settings.schema import settings_of
from workloads.documents.extraction.sniffing import ACCEPTED, VERBATIM_TYPES, sniff
from workloads.documents.indexing.tenant_settings import MAX_CHUNKS
from workloads.documents.models import Dataset
from workloads.documents.split_settings import SizeUnit, SplitSettings
from workloads.files.exceptions import UploadRefusedError
from workloads.files.incoming import IncomingFile, inspect_files

# Bytes of UTF-8: four letters of one byte or 4/3 ideographs of three are a token, an ideograph is one character.
_BYTES_A_UNIT = {SizeUnit.TOKENS: 4, SizeUnit.CHARACTERS: 3}
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


def inspect_documents(files: Sequence[File[bytes]]) -> list[IncomingFile]:
    """Return the files with the types that their content shows.

    Raise `UploadRefusedError`, with an error for each file that cannot be read, if there is any.
    """
    wanted = gettext("Not a file of a known type. These are: %(types)s.") % {"types": ACCEPTED}
    return inspect_files(files, find_type=sniff, wanted=wanted)  # type: ignore[arg-type]


def estimate_chunks(file: IncomingFile, settings: SplitSettings) -> int | None:
    """Return about how many chunks a file will have, rather fewer, or None if its size does not show it."""
    if file.content_type not in VERBATIM_TYPES:
        return None
    file.content.seek(0)
    is_wide = file.content.read(len(codecs.BOM_UTF16_LE)).startswith(_WIDE_MARKS)
    file.content.seek(0)
    size = file.size_bytes // _BYTES_A_UNIT[settings.unit]
    return None if is_wide else max(size // settings.chunk_size, 1)


def check_chunks(tenant: Tenant, dataset: Dataset, files: Sequence[IncomingFile]) -> None:
    """Raise `UploadRefusedError`, with an error for each file that has more chunks than a document may have."""
    limit = settings_of(tenant)[MAX_CHUNKS.key]
    errors = []
    for index, file in enumerate(files):
        count = estimate_chunks(file, dataset.split_settings)
        if count is not None and count > limit:
            detail = gettext(
                "%(name)s: The file has about %(count)s chunks; at most %(limit)s are indexed (setting %(key)s). "
                "Split the file, or choose larger chunks for the dataset."
            ) % {"name": file.name, "count": count, "limit": limit, "key": MAX_CHUNKS.key}
            errors.append({"field": f"files.{index}", "code": "too_many_chunks", "detail": detail})
    if errors:
        raise UploadRefusedError(errors=errors)
