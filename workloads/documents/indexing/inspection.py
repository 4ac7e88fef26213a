"""Which files of an upload can be documents."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.files.base import File
from django.utils.translation import gettext

from workloads.documents.extraction.sniffing import sniff
from workloads.files.incoming import IncomingFile, inspect_files


def inspect_documents(files: Sequence[File[bytes]]) -> list[IncomingFile]:
    """All files with the type that their content shows, or UploadRefusedError with what is wrong with each."""
    return inspect_files(
        files,
        find_type=sniff,  # type: ignore[arg-type]
        wanted=gettext("Not a PDF, DOCX, HTML, Markdown, text or CSV file."),
    )
