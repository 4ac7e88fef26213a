"""Attacks on availability: patterns, request lines, uploads."""

from __future__ import annotations

import io
import logging
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable

from django.core.files.uploadedfile import SimpleUploadedFile

from jobsplatform.logging import build_formatter
from scheduling.kit.base import PermanentError
from tenants.audit.service import mask_text
from tenants.context import tenant_context
from tests.security.servers import ask_asgi, ask_wsgi
from tests.security.table import Attack
from tests.security.world import World, refusal_of
from workloads.documents.extraction.extractor import extract_file
from workloads.documents.extraction.sniffing import ContentType
from workloads.documents.service import create_dataset

# Processor time, so that a busy machine causes no refusals.
MAX_SECONDS = 0.5


def timed(attack: Callable[[], str]) -> str:
    """Return the result of the attack, and whether it cost more than half a second of processor time."""
    began = time.thread_time()
    got = attack()
    seconds = time.thread_time() - began
    return f"{got} at once" if seconds < MAX_SECONDS else f"{got} after {seconds:.1f} s"


def upload(world: World, name: str, content: bytes) -> str:
    with tenant_context(world.aaa):
        dataset = create_dataset(tenant=world.aaa, name="attacked")
    client = world.with_key(world.aaa)
    files = {"files": SimpleUploadedFile(name, content)}
    return timed(
        lambda: refusal_of(client.post(f"/api/v1/datasets/{dataset.pk}/documents/", files, format="multipart"))
    )


def upload_comments(world: World) -> str:
    return upload(world, "page.html", b"<!---->" * 26 + b"x")


def upload_directory(world: World) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme", b"")
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
    directory = (entry + b"partname") * 150_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    return upload(world, "a.docx", b"PK\x03\x04" + bytes(26) + directory + end)


def extract_directory(_world: World) -> str:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 60 * 1024 * 1024, 0, 0)
    with tempfile.TemporaryFile() as file:
        file.write(b"PK\x03\x04" + bytes(26) + end)
        file.flush()
        try:
            extract_file(file, ContentType.DOCX)
        except PermanentError as error:
            return error.code
    return "read"


def log_long_path(_world: World) -> str:
    record = logging.LogRecord(
        "django.request", logging.WARNING, __file__, 1, "Not Found: %s", ("/" + "a" * 65_536,), None
    )
    return timed(lambda: f"{len(build_formatter('json').format(record)) // 1024} KiB logged")


def mask_tokens(_world: World) -> str:
    return timed(lambda: f"{len(mask_text('-eyJ' * 25_000)) // 1000} KB masked")


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "upload of a page of 26 comments", "POST documents/ with 183 bytes of <!---->", "202 at once", upload_comments
    ),
    Attack(
        "upload of an archive of 150,000 parts",
        "POST documents/ with 8 MB of zip directory",
        "422 upload_refused at once",
        upload_directory,
    ),
    Attack(
        "extraction of an archive whose end record declares 60 MiB of directory",
        "the file to the parsing process",
        "file_damaged",
        extract_directory,
    ),
    Attack("log of a path of 64 KiB", "one event with a run of letters", "2 KiB logged at once", log_long_path),
    Attack("audit text of 25,000 beginnings of tokens", "-eyJ, repeated", "100 KB masked at once", mask_tokens),
    Attack(
        "path of 60,000 characters under ASGI",
        "POST /aaa…",
        "414 uri_too_long after 0 KiB",
        lambda _world: ask_asgi("/" + "a" * 60_000, {}),
    ),
    Attack(
        "host of 8,000 characters under ASGI",
        "Host: aaa…",
        "400 host_invalid after 0 KiB",
        lambda _world: ask_asgi("/zz", {"Host": "a" * 8_000}),
    ),
    Attack(
        "host of 8,000 characters under WSGI",
        "Host: aaa…",
        "400 host_invalid after 0 KiB",
        lambda _world: ask_wsgi("/zz", HTTP_HOST="a" * 8_000),
        committed=True,
    ),
)
