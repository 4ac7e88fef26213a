"""Check of the files of an upload."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.files.base import File
from django.utils.translation import gettext

from workloads.documents.extraction.sniffing import sniff
from workloads.files.incoming import IncomingFile, inspect_files


def inspect_documents(files: Sequence[File[bytes]]) -> list[IncomingFile]:
    """Return the files with the types that their content shows.

    Raise `UploadRefusedError`, with an error for each file that cannot be read, if there is any.
    """
    return inspect_files(
        files,
        find_type=sniff,  # type: ignore[arg-type]
        wanted=gettext("Not a PDF, DOCX, HTML, Markdown, text or CSV file."),
    )
