"""Attacks on availability: patterns, request lines, bodies, uploads."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable
from typing import Any

from django.core.asgi import get_asgi_application
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory

from jobsplatform.entrance import Entrance
from jobsplatform.heads import BoundedHeads
from jobsplatform.logging import build_formatter
from scheduling.processors.base import PermanentError
from scheduling.processors.retrieval.extraction.extractor import extract_blocks
from scheduling.processors.retrieval.extraction.sniffing import ContentType
from scheduling.processors.retrieval.services import create_dataset
from tenants.bodies import MAX_UPLOAD_BYTES, Share
from tenants.context import tenant_context
from tenants.masking import mask_text
from tenants.services.api_keys import issue_api_key
from tests.security.table import Attack
from tests.security.world import World, refusal_of

# Of processor time, so that a busy machine refuses nothing.
MAX_SECONDS = 0.5
PART = b"x" * 16 * 1024
# A body that never ends ends here.
MOST_READ = 4 * 1024 * 1024
NO_KEY = "Api-Key jp0123456789." + "a" * 43
NO_SESSION = "sessionid=0123456789abcdefghijklmnopqrstuv"


def timed(attack: Callable[[], str]) -> str:
    """Return what the attack got, with whether it cost this process more than half a second of processor time."""
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
            extract_blocks(file, ContentType.DOCX)
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


def ask_asgi(path: str, headers: dict[str, str], *, part: bytes = b"") -> str:
    """Return the refusal of a request to the ASGI entrance whose body never ends, and how much of it was read."""
    read, answers = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += len(part)
        return {"type": "http.request", "body": part, "more_body": read < MOST_READ}

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(Entrance(get_asgi_application())(scope, receive, send))
    body = json.loads(b"".join(answer.get("body", b"") for answer in answers))
    return f"{answers[0]['status']} {body['code']} after {read // 1024} KiB"


def ask_wsgi(path: str, **environ: str) -> str:
    """Return the refusal of a request to the WSGI entrance, and how much of its body was read."""
    body = io.BytesIO(bytes(MOST_READ))
    asked = RequestFactory()._base_environ(PATH_INFO=path, REQUEST_METHOD="POST")
    lines: list[str] = []
    application = BoundedHeads(get_wsgi_application())
    answer = application(
        {**asked, "wsgi.input": body, "CONTENT_TYPE": "application/json", **environ},
        lambda line, _headers, _error=None: lines.append(line),
    )
    code = json.loads(b"".join(answer))["code"]
    return f"{lines[0].split()[0]} {code} after {body.tell() // 1024} KiB"


def submission_by_viewer(world: World) -> str:
    key = issue_api_key(tenant=world.aaa, name="viewer", scopes=["jobs.view"]).token
    files = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": str(900 * 1024 * 1024)}
    return ask_wsgi("/api/v1/jobs/", HTTP_AUTHORIZATION=f"Api-Key {key}", **files)


def upload_beyond_room(world: World) -> str:
    files = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": str(MAX_UPLOAD_BYTES)}
    key = issue_api_key(tenant=world.aaa, name="uploads", scopes=["files.manage"]).token
    with Share("") as others:
        others.take(1024)
        return ask_wsgi("/api/v1/files/", HTTP_AUTHORIZATION=f"Api-Key {key}", **files)


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
        "file_too_complex",
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
    Attack(
        "anonymous body of 20 GB under ASGI",
        "POST jobs/ with Content-Length 20000000000",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_asgi("/api/v1/jobs/", {"Content-Length": "20000000000"}, part=PART),
        committed=True,
    ),
    Attack(
        "anonymous body in chunks without end under ASGI",
        "POST jobs/ with Transfer-Encoding: chunked",
        "413 body_too_large after 80 KiB",
        lambda _world: ask_asgi("/api/v1/jobs/", {"Transfer-Encoding": "chunked"}, part=PART),
        committed=True,
    ),
    Attack(
        "body of 1 MB with an invented key under ASGI",
        "POST jobs/ with Authorization: Api-Key jp…",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_asgi("/api/v1/jobs/", {"Content-Length": "1000000", "Authorization": NO_KEY}, part=PART),
        committed=True,
    ),
    Attack(
        "body of 1 MB with an invented session under ASGI",
        "POST jobs/ with Cookie: sessionid=…",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_asgi("/api/v1/jobs/", {"Content-Length": "1000000", "Cookie": NO_SESSION}, part=PART),
        committed=True,
    ),
    Attack(
        "body of 1 MB with an invented key under WSGI",
        "POST jobs/ with Authorization: Api-Key jp…",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_wsgi("/api/v1/jobs/", CONTENT_LENGTH="1000000", HTTP_AUTHORIZATION=NO_KEY),
        committed=True,
    ),
    Attack(
        "form of the log-in of 1 MB under WSGI",
        "POST /admin/login/ as multipart with any csrftoken",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_wsgi(
            "/admin/login/",
            CONTENT_LENGTH="1000000",
            CONTENT_TYPE="multipart/form-data; boundary=x",
            HTTP_COOKIE="csrftoken=" + "a" * 32,
        ),
        committed=True,
    ),
    Attack(
        "body of 900 MiB to a route that takes no files",
        "POST jobs/ as multipart with a key that may only look",
        "413 body_too_large after 0 KiB",
        submission_by_viewer,
        committed=True,
    ),
    Attack(
        "upload that would fill the folder for temporary files",
        "POST files/ with 1 GiB beside other bodies",
        "503 bodies_busy after 0 KiB",
        upload_beyond_room,
        committed=True,
    ),
)
