"""Recognition of text by an endpoint: docling-serve or Apache Tika. It gets the picture of a page, never the file."""

from __future__ import annotations

import importlib.util
import json
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from django.utils.translation import gettext

from scheduling.kit.base import Dependency, PermanentError, TransientError
from tenants.database.platform_settings import platform_settings
from workloads.documents.blocks import Block, Extraction
from workloads.documents.extraction.limits import LOCAL_OCR, MIB, OCR_OFF, ParsingLimits

TIKA = "tika"
DEPENDENCY = Dependency("ocr", is_shared=True)
_MODULES = ("rapidocr", "onnxruntime", "cv2")
_MOST_SECONDS, _MOST_BYTES = 60.0, MIB // 2
_FIELDS = {"from_formats": "image", "to_formats": "text", "do_ocr": "true", "image_export_mode": "placeholder"}


def find_fault() -> str:
    """Return why no text can be recognised on this host, with the cure, or an empty text."""
    engine = platform_settings.DOCUMENTS_OCR
    if engine == OCR_OFF:
        return gettext("The platform recognises no text: its operator has to set DOCUMENTS_OCR.")
    if engine == LOCAL_OCR and not all(map(importlib.util.find_spec, _MODULES)):
        return gettext("RapidOCR is not installed: the operator of the platform has to install requirements-ocr.txt.")
    return ""


class EndpointRecognition:
    """Recognition of the pages of one document. After a failure no further page is sent."""

    def __init__(
        self,
        limits: ParsingLimits,
        *,
        check_running: Callable[[], object],
        dependency: Callable[[Dependency], AbstractContextManager[None]],
    ) -> None:
        self._limits, self._check_running, self._dependency = limits, check_running, dependency
        self._texts: dict[int, str] = {}
        self._fault, self._sent, self._begun = "", 0, 0.0

    def recognize(self, page: int, png: bytes) -> None:
        """Send the picture of a page and keep the text, unless the time is over or the endpoint has failed."""
        self._begun = self._begun or time.monotonic()
        if self._fault:
            return
        if time.monotonic() - self._begun > self._limits.ocr_seconds:
            self._fault = f"Text recognition ended after {self._limits.ocr_seconds:.0f} seconds, before page {page}."
            return
        try:
            with self._dependency(DEPENDENCY):
                self._texts[page] = _ask(png, self._check_running)
        except (PermanentError, TransientError) as error:
            self._fault = f"Text recognition failed on page {page} and was given up: {error}"

    def add_to(self, extraction: Extraction) -> Extraction:
        """Return the extraction with the recognised texts at the places of their pages."""
        facts, blocks = extraction.facts, list(extraction.blocks)
        for page, text in self._texts.items():
            found = [Block(part.strip(), {"page": page}) for part in text.split("\n\n") if part.strip()]
            facts.pages_recognized += bool(found)
            facts.pages_without_text -= bool(found)
            blocks.extend(found)
        if self._fault:
            facts.warn(self._fault)
        if self._texts:
            blocks.sort(key=lambda block: block.location.get("page", 0))
        return Extraction(blocks, facts)


def _ask(png: bytes, check_running: Callable[[], object]) -> str:
    """Return the text that the endpoint recognises in a picture; raise a named error if it fails."""
    from scheduling.kit.http import Limits, send

    address = platform_settings.DOCUMENTS_OCR_URL.rstrip("/")
    if platform_settings.DOCUMENTS_OCR == TIKA:
        method, url, body = "PUT", f"{address}/tika", png
        headers = [("Content-Type", "image/png"), ("Accept", "text/plain")]
    else:
        boundary = secrets.token_hex(16)
        method, url, body = "POST", f"{address}/v1/convert/file", _form(png, boundary)
        headers = [("Content-Type", f"multipart/form-data; boundary={boundary}"), ("Accept", "application/json")]
    answer = send(
        method,
        url,
        headers=headers,
        body=body,
        limits=Limits(read_seconds=_MOST_SECONDS, total_seconds=_MOST_SECONDS, body_bytes=_MOST_BYTES),
        at_safe_point=check_running,
        is_url_by_operator=True,
    )
    if answer.status == 204:
        return ""  # Tika: no content
    if answer.status != 200:
        kind = TransientError if answer.status >= 500 or answer.status == 429 else PermanentError
        raise kind(f"the endpoint answered {answer.status}.", code="ocr_failed")
    if answer.is_cut:
        raise PermanentError(f"the endpoint answered more than {_MOST_BYTES} bytes.", code="ocr_failed")
    return _read_text(answer.body)


def _read_text(body: bytes) -> str:
    if platform_settings.DOCUMENTS_OCR == TIKA:
        return body.decode("utf-8", "replace")
    try:
        content = json.loads(body)
        if content["status"] not in {"success", "partial_success"}:
            raise PermanentError(f"docling ended with {str(content['status'])[:40]!r}.", code="ocr_failed")
        return str(content["document"]["text_content"] or "")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise PermanentError("the endpoint returned an invalid response.", code="ocr_failed") from error


def _form(png: bytes, boundary: str) -> bytes:
    """Return the fields of docling-serve and the picture as a multipart body."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in _FIELDS.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="page.png"\r\n'
    return (
        "".join([*parts, head, "Content-Type: image/png\r\n\r\n"]).encode() + png + f"\r\n--{boundary}--\r\n".encode()
    )
