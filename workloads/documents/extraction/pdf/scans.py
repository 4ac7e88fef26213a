"""Recognition of the text of pages that are pictures: by RapidOCR here, or by what the worker sends the picture to.

RapidOCR is optional. It runs in the sandbox, with one thread and the models that are in its package.
"""

from __future__ import annotations

import importlib
import math
import os
import statistics
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pypdfium2

from workloads.documents.blocks import Facts
from workloads.documents.extraction.limits import LOCAL_OCR, OCR_OFF
from workloads.documents.extraction.pdf.lines import Line

_POINTS_AN_INCH = 72
# Sharp enough for print of eight points. A larger page than A4 is drawn with fewer.
_DOTS_AN_INCH, _MAX_SIDE = 200, 2_400
# Heights of recognised lines that differ less from the most usual one are of its font.
_SAME_SIZE = 0.3
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
_PARAMETERS = {
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Global.log_level": "critical",
    # With more pixels it overlooks short lines that stand alone. Lines are recognised in the whole picture.
    "Det.limit_type": "max",
    "Det.limit_side_len": 960,
    "Det.box_thresh": 0.3,
}


class ScanReader:
    """Reader of at most ``pages`` pages of one document that have no text. What it cannot read is a warning.

    ``seconds`` is the time after which it begins no page; ``send`` takes the number and picture of a page (PNG), if the
    text is recognised elsewhere.
    """

    def __init__(
        self, engine: str, facts: Facts, *, pages: int, seconds: float, send: Callable[[int, bytes], object]
    ) -> None:
        self._engine, self._facts, self._pages, self._send = engine, facts, pages, send
        self._seconds, self._begun, self._seen = seconds, 0.0, 0
        self._recognize: Any = None

    def read(self, page: pypdfium2.PdfPage, number: int) -> list[Line]:
        """Return the lines of text in the picture of a page; none if they are recognised elsewhere, or not at all."""
        self._begun = self._begun or time.monotonic()
        if fault := self._find_fault():
            self._facts.warn(fault)
            return []
        self._seen += 1
        if self._engine != LOCAL_OCR:
            self._send(number, _png_of(page))
            return []
        try:
            return self._lines_of(page)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - the engine is foreign code, and its errors are of any type
            self._facts.warn(f"Text recognition failed on page {number}: {type(error).__name__}.")
            return []

    def _find_fault(self) -> str:
        """Return why no more pages are recognised, or an empty text."""
        if self._engine == OCR_OFF:
            return "The platform recognises no text (setting DOCUMENTS_OCR)."
        if self._seen >= self._pages:
            return f"Text was recognised on {self._pages} pages without text at most (max_ocr_pages of the dataset)."
        if time.monotonic() - self._begun > self._seconds:
            return f"Text recognition ended after {self._seconds:.0f} seconds, with {self._seen} pages."
        return ""

    def _lines_of(self, page: pypdfium2.PdfPage) -> list[Line]:
        self._recognize = self._recognize or _make_engine()
        scale, height = _scale_of(page), page.get_height()
        bitmap = page.render(scale=scale)
        try:
            found = self._recognize(bitmap.to_numpy().copy())
        finally:
            bitmap.close()
        if found.txts is None:
            return []
        return _lines(found.txts, found.boxes.tolist(), scale, height)


def _make_engine() -> Any:
    # The sandbox has no threads, and the environment is empty.
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    importlib.import_module("cv2").setNumThreads(1)
    return importlib.import_module("rapidocr").RapidOCR(params=_PARAMETERS)


def _scale_of(page: pypdfium2.PdfPage) -> float:
    """Return the pixels of a point, so that no side of the picture has more than the limit."""
    width, height = page.get_size()
    return min(_DOTS_AN_INCH / _POINTS_AN_INCH, _MAX_SIDE / max(float(width), float(height), 1.0))


def _lines(
    texts: Sequence[str], boxes: Sequence[Sequence[tuple[float, float]]], scale: float, height: float
) -> list[Line]:
    """Return recognised texts as lines at their places on the page, counted as those of a page with text are."""
    edges = [
        (min(x for x, _ in box), max(x for x, _ in box), min(y for _, y in box), max(y for _, y in box))
        for box in boxes
    ]
    usual = statistics.median(bottom - top for _, _, top, bottom in edges)
    lines = []
    for text, (left, right, top, bottom) in zip(texts, edges, strict=True):
        size = usual if math.isclose(bottom - top, usual, rel_tol=_SAME_SIZE) else bottom - top
        place = left / scale, right / scale, bottom / scale - height, max(size / scale, 1.0)
        lines.append(Line(text, *place, font=b"", begins_mono=False, ends_mono=False))
    return lines


def _png_of(page: pypdfium2.PdfPage) -> bytes:
    """Return the picture of a page in grey, as PNG."""
    bitmap = page.render(scale=_scale_of(page), grayscale=True)
    try:
        columns, rows, stride, pixels = bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer)
    finally:
        bitmap.close()
    raw = b"".join(b"\0" + pixels[row * stride : row * stride + columns] for row in range(rows))
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = (b"IHDR" + header, b"IDAT" + zlib.compress(raw), b"IEND")
    framed = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)
