"""Check of the files of an upload, before any of them is stored."""

from __future__ import annotations

import hashlib
import mimetypes
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.files.base import File
from django.utils.translation import gettext

from tenants.tenancy.bases import find_invisible_character
from workloads.files.exceptions import UploadRefusedError

MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_NAME_LENGTH = 255
UNKNOWN_TYPE = "application/octet-stream"
_HASHED_BYTES = 1024 * 1024

# Finds the media type of a file by its name and content; None if it is not accepted.
type TypeFinder = Callable[[str, File[bytes]], str | None]


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file of an upload that has passed the checks."""

    name: str
    content_type: str
    size_bytes: int
    sha256: str
    content: File[bytes]


def guess_type(name: str, file: File[bytes]) -> str:
    """Return the media type that the name suggests. It is only sent with downloads; nothing else depends on it."""
    del file
    return mimetypes.guess_type(name)[0] or UNKNOWN_TYPE


def inspect_files(
    files: Sequence[File[bytes]], *, find_type: TypeFinder = guess_type, wanted: str = ""
) -> list[IncomingFile]:
    """Return the files with their types and hashes.

    Raise `UploadRefusedError`, with an error for each bad file, if any. ``find_type`` returns the media type of a file,
    or None to refuse it; ``wanted`` describes the types that it accepts.
    """
    if not files:
        raise UploadRefusedError(
            "There is no file in the upload.",
            errors=[
                {"field": "files", "code": "files_missing", "detail": gettext("Send at least one file as `files`.")}
            ],
        )
    errors = [fault for index, file in enumerate(files) for fault in _faults_of(index, file)]
    if errors:
        raise UploadRefusedError(errors=errors)
    incoming = []
    for index, file in enumerate(files):
        content_type = find_type(name_of(file), file)
        if content_type is None:
            errors.append(_fault(index, file, "type_unknown", wanted))
        else:
            incoming.append(IncomingFile(name_of(file), content_type, file.size, _hash_of(file), file))
    if errors:
        raise UploadRefusedError(errors=errors)
    return incoming


def name_of(file: File[bytes]) -> str:
    """Return the name of the file without folders, in Unicode form NFC."""
    name = (file.name or "").replace("\\", "/").rsplit("/", 1)[-1]
    return unicodedata.normalize("NFC", name).strip()


def _faults_of(index: int, file: File[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the faults of size and name, without reading the content."""
    name = name_of(file)
    if not name or len(name) > MAX_NAME_LENGTH or find_invisible_character(name) is not None:
        yield _fault(
            index,
            file,
            "name_invalid",
            gettext("A name must have 1 to %(limit)s visible characters.") % {"limit": MAX_NAME_LENGTH},
        )
    if file.size == 0:
        yield _fault(index, file, "file_empty", gettext("The file is empty."))
    if file.size > MAX_FILE_BYTES:
        yield _fault(
            index,
            file,
            "file_too_large",
            gettext("The file has %(size)s bytes; at most %(limit)s are allowed.")
            % {"size": file.size, "limit": MAX_FILE_BYTES},
        )


def _fault(index: int, file: File[bytes], code: str, detail: str) -> dict[str, Any]:
    return {"field": f"files.{index}", "code": code, "detail": f"{name_of(file)[:MAX_NAME_LENGTH]}: {detail}"}


def _hash_of(file: File[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    for part in file.chunks(_HASHED_BYTES):
        digest.update(part)
    file.seek(0)
    return digest.hexdigest()
