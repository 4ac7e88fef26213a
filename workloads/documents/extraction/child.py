"""The parsing process: it reads a file from standard input and writes its blocks to standard output, as JSON lines.

    {"block": {"text": …, "location": {…}, "level": 0}}     any number of lines
    {"image": {"page": 3, "png": …}}                       a page whose text is to be recognised elsewhere, in base64
    {"end": {"encoding": "utf-8", …}}                      the facts, as the last line, or instead of it one of:
    {"error": {"code": …, "message": …}}                   the file is at fault
    {"fault": "…"}                                         the program is at fault
    {"unprotected": ["files", …]}                          the host has no sandbox; the file was not read

Before it reads the file, the process restricts itself: it limits its memory, processor time and files, dies with its
parent, and enters the sandbox, which it tests. From then on it has no environment, opens no file but modules, and
reaches no network and no other process.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import scheduling
import tenants
import workloads
from scheduling.kit.base import PermanentError
from scheduling.sandbox import layers
from scheduling.sandbox.kernel import PR_SET_PDEATHSIG, prctl
from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.errors import TOO_COMPLEX

# What readers import of this project. `pathlib` would take longer to import than the sandbox takes.
_PACKAGES = tuple(next(iter(package.__path__)) for package in (scheduling, tenants, workloads))
# Above the soft limit of processor time, whose signal stops the process; at the hard limit the kernel kills it.
_CPU_GRACE_SECONDS = 5

_OFFICE = "application/vnd.openxmlformats-officedocument"
# Module and function that read each media type.
_READERS = {
    "application/pdf": ("pdf", "read_pdf"),
    f"{_OFFICE}.wordprocessingml.document": ("docx", "read_docx"),
    f"{_OFFICE}.spreadsheetml.sheet": ("xlsx", "read_xlsx"),
    f"{_OFFICE}.presentationml.presentation": ("pptx", "read_pptx"),
    "message/rfc822": ("mail", "read_mail"),
    "application/json": ("plain", "read_json"),
    "application/xml": ("plain", "read_xml"),
    "text/x-source": ("plain", "read_source"),
    "text/html": ("html", "read_html"),
    "text/markdown": ("markdown", "read_markdown"),
    "text/csv": ("table", "read_csv"),
    "text/plain": ("plain", "read_text"),
}

type Reader = Callable[[bytes, Facts], Iterator[Block]]


def main(arguments: list[str]) -> int:
    """Run the process. The arguments are the media type, the encoding if given, the limits as JSON, and the parent."""
    content_type, encoding, limits, parent = arguments[0], arguments[1], json.loads(arguments[2]), int(arguments[3])
    die_with_parent(parent)
    bind(limits)
    missing = enter_sandbox()
    if missing and limits["needs_sandbox"]:
        _write({"unprotected": missing})
        return 0
    try:
        facts = Facts(encoding)
        read = partial(reader_of(content_type), **options_of(content_type, facts, limits))
        for block in read(sys.stdin.buffer.read(), facts):
            _write({"block": block.as_json()})
        _write({"end": facts.as_json()})
    except PermanentError as error:
        _write({"error": {"code": error.code, "message": str(error)}})
    except (MemoryError, RecursionError):
        _write({"error": {"code": TOO_COMPLEX, "message": "The file needs more memory than a document may use."}})
    except Exception:  # noqa: BLE001 - the process boundary: the parent raises it again as a named error
        _write({"fault": traceback.format_exc(limit=-5)})
    sys.stdout.flush()
    return 0


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; exit at once if that has happened already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def bind(limits: dict[str, Any]) -> None:
    """Set the resource limits of this process. It cannot raise them again."""
    memory, cpu = int(limits["memory_bytes"]), int(limits["cpu_seconds"])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + _CPU_GRACE_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(limits["open_files"]), int(limits["open_files"])))


def enter_sandbox() -> list[str]:
    """Clear the environment and enter the sandbox. Return those protections that the self-test did not confirm."""
    os.environ.clear()
    return list(layers.enter(_PACKAGES).missing)


def reader_of(content_type: str) -> Reader:
    """Return the function that reads files of this media type.

    Only its module is imported, because the other formats' libraries would cost time and memory.
    """
    module, function = _READERS.get(content_type, _READERS["text/plain"])
    read: Reader = getattr(importlib.import_module(f"workloads.documents.extraction.{module}"), function)
    return read


def options_of(content_type: str, facts: Facts, limits: dict[str, Any]) -> dict[str, Any]:
    """Return what the reader of a media type takes beside the content and the facts."""
    function = _READERS.get(content_type, ("", ""))[1]
    if function == "read_docx" and limits["reads_comments"]:
        return {"reads_comments": True}
    if function == "read_pdf" and limits["ocr_pages"]:
        scans = importlib.import_module("workloads.documents.extraction.pdf.scans")
        pages, seconds = limits["ocr_pages"], limits["ocr_seconds"]
        return {"scans": scans.ScanReader(limits["ocr"], facts, pages=pages, seconds=seconds, send=_send_image)}
    return {}


def _send_image(page: int, png: bytes) -> None:
    _write({"image": {"page": page, "png": base64.b64encode(png).decode()}})
    sys.stdout.flush()


def _write(message: dict[str, Any]) -> None:
    # ASCII, so that an unpaired surrogate cannot break the line.
    sys.stdout.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
