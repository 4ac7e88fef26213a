"""Limits of parsing one file. The parsing process sets them before it reads the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

MIB = 1024 * 1024
# The engine that runs in the parsing process; others are endpoints.
OCR_OFF, LOCAL_OCR = "off", "rapidocr"
# A page of 42 lines took 5 s of a core, and 610 MiB of 1.3 GiB of addresses. A document takes no longer than this
# beside the job's other work.
OCR_SECONDS_A_PAGE, MAX_OCR_SECONDS, OCR_GRACE_SECONDS = 20, 480, 60
OCR_MEMORY_BYTES = 2048 * MIB
MAX_OCR_PAGES = 200


@dataclass(frozen=True, slots=True)
class ParsingLimits:
    """The limits of one parsing process. Each is far above what real documents of 50 MiB took in trials."""

    memory_bytes: int = 1024 * MIB
    cpu_seconds: int = 90
    wall_seconds: float = 150.0
    open_files: int = 64
    # Output as JSON: 50 MiB of text, escaped.
    output_bytes: int = 128 * MIB
    # Refuse to read the file if the kernel cannot isolate files and network.
    needs_sandbox: bool = True
    # Whether comments of Word documents belong to the text.
    reads_comments: bool = False
    # What recognises the text of pages without any, on how many pages, and the time after which it begins none.
    ocr: str = OCR_OFF
    ocr_pages: int = 0
    ocr_seconds: float = 0.0

    def with_ocr(self, engine: str, pages: int) -> ParsingLimits:
        """Return the limits with room for the recognition of text on so many pages; of none, they stay as they are."""
        if not pages:
            return self
        seconds = min(pages * OCR_SECONDS_A_PAGE, MAX_OCR_SECONDS)
        return replace(
            self,
            # The page that is begun last ends within the grace.
            cpu_seconds=self.cpu_seconds + seconds + OCR_GRACE_SECONDS,
            wall_seconds=self.wall_seconds + seconds + OCR_GRACE_SECONDS,
            memory_bytes=max(self.memory_bytes, OCR_MEMORY_BYTES if engine == LOCAL_OCR else 0),
            ocr=engine,
            ocr_pages=pages,
            ocr_seconds=float(seconds),
        )

    def as_arguments(self) -> dict[str, Any]:
        """Return the limits as a dict, which is passed to the process as JSON."""
        return asdict(self)


# PDF: more pages than any book.
MAX_PAGES = 20_000
# DOCX: bytes that the archive's parts may unpack to, number of parts, and compression ratio of one part. Deflate's own
# bound is 1,032 to 1; text with much mark-up reaches 30.
MAX_UNPACKED_BYTES = 300 * MIB
MAX_PARTS = 20_000
# Size of the archive's directory: 256 bytes per part.
MAX_DIRECTORY_BYTES = 256 * MAX_PARTS
MAX_PACKING_RATIO = 200
MIN_BYTES_FOR_RATIO = 4 * MIB
# HTML: real pages stay below 100.
MAX_DEPTH = 1_000
