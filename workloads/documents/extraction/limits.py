"""Limits of parsing one file. The parsing process sets them before it reads the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MIB = 1024 * 1024


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
