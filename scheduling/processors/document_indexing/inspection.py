"""Looking at the files of an upload before any is taken."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.files.base import File

from scheduling.processors.document_indexing.exceptions import UploadRefusedError
from scheduling.processors.retrieval.extraction.sniffing import ContentType, sniff
from tenants.names import find_invisible_character

MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_NAME_LENGTH = 255
_HASHED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file that may be taken."""

    name: str
    content_type: ContentType
    size_bytes: int
    sha256: str
    content: File[bytes]


def inspect_files(files: Sequence[File[bytes]]) -> list[IncomingFile]:
    """All files with their type and hash, or UploadRefusedError with what is wrong with each that is not fit."""
    if not files:
        raise UploadRefusedError(
            "There is no file in the upload.",
            errors=[{"field": "files", "code": "files_missing", "detail": "Send at least one file as `files`."}],
        )
    errors = [fault for index, file in enumerate(files) for fault in _faults_of(index, file)]
    if errors:
        raise UploadRefusedError(errors=errors)
    incoming = []
    for index, file in enumerate(files):
        content_type = sniff(_name_of(file), file)  # type: ignore[arg-type]
        if content_type is None:
            errors.append(_fault(index, file, "type_unknown", "Not a PDF, DOCX, HTML, Markdown, text or CSV file."))
        else:
            incoming.append(IncomingFile(_name_of(file), content_type, file.size, _hash_of(file), file))
    if errors:
        raise UploadRefusedError(errors=errors)
    return incoming


def _faults_of(index: int, file: File[bytes]) -> Iterator[dict[str, Any]]:
    """What size and name tell, without a look inside."""
    name = _name_of(file)
    if not name or len(name) > MAX_NAME_LENGTH or find_invisible_character(name) is not None:
        yield _fault(index, file, "name_invalid", f"A name has 1 to {MAX_NAME_LENGTH} visible characters.")
    if file.size == 0:
        yield _fault(index, file, "file_empty", "The file is empty.")
    if file.size > MAX_FILE_BYTES:
        yield _fault(
            index, file, "file_too_large", f"The file has {file.size} bytes; at most {MAX_FILE_BYTES} are taken."
        )


def _fault(index: int, file: File[bytes], code: str, detail: str) -> dict[str, Any]:
    return {"field": f"files.{index}", "code": code, "detail": f"{_name_of(file)[:MAX_NAME_LENGTH]}: {detail}"}


def _name_of(file: File[bytes]) -> str:
    name = (file.name or "").replace("\\", "/").rsplit("/", 1)[-1]
    return unicodedata.normalize("NFC", name).strip()


def _hash_of(file: File[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    for part in file.chunks(_HASHED_BYTES):
        digest.update(part)
    file.seek(0)
    return digest.hexdigest()
