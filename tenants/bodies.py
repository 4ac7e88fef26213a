"""Request bodies, taken in whole before a transaction is opened.

A client sends as slowly as it likes. Read inside the view, its body would keep a transaction open and idle, until
PostgreSQL ended it; a slow upload then failed for no fault of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest

from tenants.exceptions import BodyTooLargeError, LengthRequiredError

# Of anything but files; views may take less (`max_body_bytes`). A text of this size costs a process
# some 200 MiB once it is parsed.
MAX_TEXT_BYTES = 8 * 1024 * 1024
# Of one request with files, each of which has a limit of its own.
MAX_UPLOAD_BYTES = 1024 * 1024 * 1024
_FILES = "multipart/form-data"


@contextmanager
def received_body(request: HttpRequest) -> Iterator[None]:
    """Read the body from the client, into memory or where it is large into a temporary file.

    Raises `LengthRequiredError` and `BodyTooLargeError` before anything is read. Under ASGI, Django has done it.
    """
    length = _declared_length(request)
    if not length or not isinstance(request, WSGIRequest):
        yield
        return
    with SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE) as spool:
        shutil.copyfileobj(request._stream, spool)  # noqa: SLF001 - what WSGIRequest and REST framework read from
        spool.seek(0)
        request._stream = spool  # type: ignore[assignment]  # noqa: SLF001
        yield


def _declared_length(request: HttpRequest) -> int:
    declared = request.META.get("CONTENT_LENGTH") or ""
    if not declared and request.META.get("HTTP_TRANSFER_ENCODING"):
        # WSGI has no end of a body but its length: Django would take the body for an empty one.
        raise LengthRequiredError
    length = int(declared) if declared.isascii() and declared.isdigit() else 0
    limit = MAX_UPLOAD_BYTES if request.content_type == _FILES else MAX_TEXT_BYTES
    if length > limit:
        raise BodyTooLargeError("The body is larger than %(limit)s bytes.", {"limit": limit})
    return length
