"""The worker's side of extraction: it starts the parsing process and reads its output within limits."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import IO, NoReturn

from scheduling.kit.base import TransientError
from scheduling.sandbox.isolated import start_isolated
from tenants.database.platform_settings import platform_settings
from workloads.documents.blocks import Block, Extraction, Facts
from workloads.documents.extraction.errors import (
    FileDamagedError,
    FileTooComplexError,
    FileWithoutTextError,
    SandboxUnavailableError,
    error_of,
)
from workloads.documents.extraction.limits import ParsingLimits
from workloads.documents.extraction.recognition import EndpointRecognition

# What the parsing process runs.
CHILD_MODULE = "workloads.documents.extraction.child"

SAFE_POINT_SECONDS = 0.25
_PART_BYTES = 64 * 1024
_IMAGE = b'{"image"'

# A native parser that runs out of memory or fails its own checks ends with one of these.
_EXHAUSTED_SIGNALS = frozenset({signal.SIGXCPU, signal.SIGABRT, signal.SIGTRAP, signal.SIGILL, signal.SIGXFSZ})
_CRASH_SIGNALS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE})


class ParsingInterruptedError(TransientError):
    """Raised if the parsing process was killed, or failed by a defect of the program. Another attempt may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="parsing_interrupted")


def extract_file(
    file: IO[bytes],
    content_type: str,
    *,
    encoding: str = "",
    limits: ParsingLimits | None = None,
    at_safe_point: Callable[[], object] = lambda: None,
    recognition: EndpointRecognition | None = None,
) -> Extraction:
    """Return all blocks of text in a file on disk, and the facts about it.

    ``encoding`` is that of a file of text; if it is empty, it is detected. ``at_safe_point`` is called several times a
    second and may raise an exception to stop. ``recognition`` gets the pictures of pages without text, if the limits
    name an endpoint. Raise `FileEncryptedError`, `FileDamagedError`, `FileTooComplexError` or
    `FileWithoutTextError` for a file that can never be read, `ParsingInterruptedError` for a failure that is not the
    file's, and `SandboxUnavailableError` if this host cannot isolate a compromised parser.
    """
    limits = limits or ParsingLimits()
    if platform_settings.EXTRACTION_WITHOUT_SANDBOX:
        limits = replace(limits, needs_sandbox=False)
    file.seek(0)
    process = _start(file, content_type, encoding, limits)
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        process.kill()

    clock = threading.Timer(limits.wall_seconds, stop)
    clock.daemon = True
    clock.start()
    try:
        extraction = _read_answer(process, limits, at_safe_point, recognition)
    finally:
        clock.cancel()
        # Popen closes its pipe and reaps the process on exit.
        with process:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()
    if is_late.is_set():
        raise FileTooComplexError(f"Reading the file took longer than {limits.wall_seconds:.0f} seconds.")
    if extraction is None:
        _raise_for_end(process.returncode)
    if recognition is not None:
        extraction = recognition.add_to(extraction)
    if not any(block.text.strip() for block in extraction.blocks):
        raise FileWithoutTextError.of(extraction.facts.warnings)
    return extraction


def _start(file: IO[bytes], content_type: str, encoding: str, limits: ParsingLimits) -> subprocess.Popen[bytes]:
    arguments = [content_type, encoding, json.dumps(limits.as_arguments()), str(os.getpid())]
    return start_isolated(CHILD_MODULE, *arguments, stdin=file)


def _read_answer(
    process: subprocess.Popen[bytes],
    limits: ParsingLimits,
    at_safe_point: Callable[[], object],
    recognition: EndpointRecognition | None,
) -> Extraction | None:
    """Return the extraction, or None if the process ended before its last line. Raise the error that it reports."""
    blocks: list[Block] = []
    images = 0
    for line in _lines(process, limits, at_safe_point):
        try:
            message = json.loads(line)
        except ValueError:
            return None  # cut in the middle of a line
        if "block" in message:
            blocks.append(Block.from_json(message["block"]))
        elif "image" in message:
            images += 1
            if recognition is None or images > limits.ocr_pages:
                raise ParsingInterruptedError("The parser sent a picture that was not asked for.")
            recognition.recognize(int(message["image"]["page"]), base64.b64decode(message["image"]["png"]))
        elif "error" in message:
            raise error_of(message["error"]["code"], message["error"]["message"])
        elif "unprotected" in message:
            raise SandboxUnavailableError(message["unprotected"])
        elif "fault" in message:
            raise ParsingInterruptedError(f"The parser failed: {message['fault']}")
        else:
            return Extraction(blocks, Facts(**message["end"]))
    return None


def _lines(
    process: subprocess.Popen[bytes], limits: ParsingLimits, at_safe_point: Callable[[], object]
) -> Iterator[bytes]:
    """Yield the process's output line by line; one line may take long."""
    assert process.stdout is not None
    source = process.stdout.fileno()
    size, begun = 0, bytearray()
    while True:
        at_safe_point()
        if not select.select([source], [], [], SAFE_POINT_SECONDS)[0]:
            continue
        part = os.read(source, _PART_BYTES)
        if not part:
            break
        size += len(part)
        if size > limits.output_bytes:
            raise FileTooComplexError(f"The file has more than {limits.output_bytes} bytes of text.")
        *ended, rest = part.split(b"\n")
        for rest_of_line in ended:
            line = bytes(begun + rest_of_line)
            begun.clear()
            if line.startswith(_IMAGE):
                size -= len(line)  # not kept
            yield line
        begun += rest
    if begun:
        yield bytes(begun)


def _raise_for_end(status: int) -> NoReturn:
    """Raise the error for a process that ended before its last line; ``status`` is negative for a signal."""
    if -status in _EXHAUSTED_SIGNALS:
        raise FileTooComplexError("The file needs more memory or time than a document may use.")
    if -status in _CRASH_SIGNALS:
        raise FileDamagedError("The file is damaged: it crashes its parser.")
    raise ParsingInterruptedError(f"The parsing process ended with status {status}.")
