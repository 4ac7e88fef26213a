"""Reader of PDF files by the geometry of their text: reading order, headings, footnotes, tables and listings."""

from workloads.documents.extraction.pdf.reader import read_pdf

__all__ = ["read_pdf"]
