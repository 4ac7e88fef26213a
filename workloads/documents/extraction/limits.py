"""What one file may cost. Set inside the parsing process, before it reads a byte of the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ParsingLimits:
    """Bounds of one parsing process; each is far above what real documents of 50 MiB took in trials."""

    memory_bytes: int = 1024 * MIB
    cpu_seconds: int = 90
    wall_seconds: float = 150.0
    open_files: int = 64
    # What may come back, as JSON: 50 MiB of text, escaped.
    output_bytes: int = 128 * MIB
    # Whether nothing is read where the kernel offers no protection of files and network.
    needs_sandbox: bool = True

    def as_arguments(self) -> dict[str, Any]:
        """The limits as JSON for the process."""
        return asdict(self)


# PDF: more pages than any book.
MAX_PAGES = 20_000
# DOCX: what the archive's parts may unpack to, how many they may be, and how far one may shrink. Deflate's
# own bound is 1,032 to 1; text with much mark-up reaches 30.
MAX_UNPACKED_BYTES = 300 * MIB
MAX_PARTS = 20_000
# Of the archive's directory: 256 bytes a part.
MAX_DIRECTORY_BYTES = 256 * MAX_PARTS
MAX_PACKING_RATIO = 200
MIN_BYTES_FOR_RATIO = 4 * MIB
# HTML: real pages stay below 100.
MAX_DEPTH = 1_000
